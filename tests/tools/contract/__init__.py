"""Tests of the compiler of contracts."""
