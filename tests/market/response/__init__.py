"""Tests of demand response."""
