"""The node: store, mempool, peers, sync, signer, engine driver and HTTP API.

`node.app` is the composition root. Everything with a clock, a file or a socket is on this
floor; the rules of the chain are in `node.ledger` and below.
"""
