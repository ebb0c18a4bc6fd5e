"""Tests of the call auctions."""
