"""Charging power quotas: a capacity shared out among charging stations, and traded among them."""
