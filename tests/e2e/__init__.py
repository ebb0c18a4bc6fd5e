"""Tests of the whole program: real processes, key files and sockets, as its users meet them."""
