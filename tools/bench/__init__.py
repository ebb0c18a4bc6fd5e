"""Benchmarks: what this machine reaches, always beside its own signature-verification rate."""
