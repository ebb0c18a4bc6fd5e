"""Frozen test vectors, the program that writes them, and the test that holds code to them."""
