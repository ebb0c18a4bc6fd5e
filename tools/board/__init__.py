"""The board agent: one process at a customer, which computes dispatch with its neighbours."""
