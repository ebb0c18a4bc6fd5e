"""The off-chain numerics: solvers and distributed iterations in floats, rounded to integers.

What leaves this package is integers for a verifier in `market`. Nothing here does I/O, and
the node never imports it.
"""
