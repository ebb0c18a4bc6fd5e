"""Tests of the prosumer agents."""
