"""Bytes, hashes, Merkle trees, signatures, checked integers and the error tree."""
