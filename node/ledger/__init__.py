"""The ledger: transactions, blocks, the state tree, genesis, block execution and proofs."""
