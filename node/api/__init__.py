"""The node's HTTP API: what can be read, submitted and followed, and the guard before it."""
