"""The built-in energy contracts: offers, matching, the feeder network, lines, settlement.

Integers only and pure, so that every validator reaches the same result: energy in
milliwatt-hours, power in watts, money in micro-tokens, prices in micro-tokens per kWh.
"""
