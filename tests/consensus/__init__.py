"""Tests of the engines: transitions by the paper's lines, conformance, golden transcripts."""
