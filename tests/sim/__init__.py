"""Seeded simulation of whole networks: real engines, a simulated world, separate checkers."""
