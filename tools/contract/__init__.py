"""The compiler of contracts: from a source in a subset of Python to instructions."""
