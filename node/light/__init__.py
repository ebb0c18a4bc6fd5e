"""The light node: follows headers, asks full nodes for proofs, and keeps no chain."""
