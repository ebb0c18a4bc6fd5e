"""Tests of the light node: real full nodes beside it, and ones that lie."""
