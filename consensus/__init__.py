"""Consensus engines as pure state machines: `engine.handle(input) -> list[output]`.

A block is an opaque id here, a signature opaque bytes; the driver in `node/` does all I/O.

* `messages`: votes, proposals, certificates, evidence, and what a signer must remember.
* `validator_set`: who votes with which power; quorums in integers; certificate weight.
* `interface`: the inputs and outputs, their contract, configuration, the `Engine` protocol.
* `vote_keeper`, `block_book`, `round_state`, `waiting_room`: what a height knows.
* `tendermint`: the algorithm, each transition citing its line of the paper's Algorithm 1.
* `catch_up`: what a peer that fell behind is sent.
* `poa`: Tendermint with equal votes and a rotating proposer.
"""
