"""Tests of the day markets."""
