"""Tests of the HTTP API: its answers, its refusals, and what it withstands."""
