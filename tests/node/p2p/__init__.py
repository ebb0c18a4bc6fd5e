"""Tests of the transport between members' nodes: real sockets on loopback, deadlines, no sleeps."""
