"""Meters: signed cumulative registers, the energies of delivery intervals, and their estimates."""
