"""Tests of the ledger: transactions, blocks, genesis, the state tree, execution, proofs."""
