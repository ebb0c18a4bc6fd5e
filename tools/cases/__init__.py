"""Readers of published cases: figures as printed in, integers in base units out."""
