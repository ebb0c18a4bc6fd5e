"""Demand response: a second settlement at a response price, and events with a baseline."""
