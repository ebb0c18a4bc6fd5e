"""Snapshots through real nodes and stores."""
