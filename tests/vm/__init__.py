"""Tests of the deterministic kernel: bytes, hashes, overlay, gas, modules of every chain."""
