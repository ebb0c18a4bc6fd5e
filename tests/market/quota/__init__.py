"""Tests of charging quotas."""
