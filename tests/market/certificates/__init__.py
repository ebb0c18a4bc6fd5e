"""Tests of certificates: plants, lots, coins."""
