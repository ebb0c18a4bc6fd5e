"""Tests of the command line, the wallet, the client, proofs and local networks."""
