"""Tests of the contract runtime."""
