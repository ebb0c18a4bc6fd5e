"""Call auctions: orders of one delivery interval in, trades, prices, awards and surplus out.

Pure functions over integers, n log n in the number of orders, the same on every machine.
"""
