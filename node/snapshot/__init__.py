"""Snapshots: a final state in chunks that each prove themselves, for those who join."""
