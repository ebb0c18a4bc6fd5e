"""Prosumer agents: profiles of homes, bidding strategies, and processes that trade by them."""
