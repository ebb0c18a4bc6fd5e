"""Tests of the solvers: against published figures, their slow twins, and the verifier."""
