"""Certificates of renewable energy: plants, guarantees of origin, and the green-choice coin."""
