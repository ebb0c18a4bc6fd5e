"""The transport between members' nodes: mutual TLS, frames, limits, dialing."""
