"""The shadow chain: what other rules would have made of the live chain's transactions."""
