"""Inputs of the vectors for genesis files: what a network may begin with, and what not."""

from __future__ import annotations

import json

from tests.ledger.support import genesis_document, key_of
from tests.vectors.primitive_inputs import SMALL_ORDER, Inputs


def text(**changes: object) -> str:
    """Return a genesis file with other fields."""
    return json.dumps(genesis_document(**changes))


def with_member(place: int, **changes: object) -> str:
    """Return a genesis file with other fields of one member."""
    members = [dict(member) for member in genesis_document()["members"]]
    members[place] |= changes
    return text(members=members)


def genesis_inputs() -> Inputs:
    document = genesis_document()

    accepted = {
        "as given": text(),
        "with its fields in another order": json.dumps(dict(reversed(document.items()))),
        "with spaces": json.dumps(document, indent=2),
        "with parameters left out": json.dumps(document | {"parameters": {}}),
        "with a gas price": text(parameters={"gas_price_micro": 3}),
        "another name": text(chain="other"),
        "threshold of two": text(parameters={"operator_threshold": 2}),
    }
    refused = _bad_files() | _bad_members()
    return (
        [{"name": name, "text": one} for name, one in accepted.items()],
        [{"name": name, "text": one} for name, one in refused.items()],
    )


def _bad_files() -> dict[str, str]:
    """Return files that are wrong as a whole."""
    document = genesis_document()
    deep: object = []
    for _ in range(500):
        deep = [deep]
    return {
        "not JSON": "{",
        "a list": "[]",
        "an unknown field": text(colour="red"),
        "a field twice": '{"chain":"a",' + text()[1:],
        "a float": text(time_ms=1.5),
        "not a number": text(time_ms=float("nan")),
        "time 0": text(time_ms=0),
        "time true": text(time_ms=True),
        "no chain": text(chain=""),
        "no engine": text(engine={}),
        "engine parameter as text": text(engine={"name": "poa", "parameters": {"a": "1"}}),
        "nested too deeply": text(about=deep),
        "a number beyond 64 bits": text(about=2**64),
        "half a surrogate pair": text(about="\ud800"),
        "unknown module": text(modules={"nothing": {}}),
        "unknown parameter": text(parameters={"colour": 1}),
        "parameter as text": text(parameters={"max_block_gas": "1"}),
        "a transaction longer than a block": text(parameters={"max_block_bytes": 100}),
        "more operators asked for than there are": text(parameters={"operator_threshold": 3}),
        "no operator role": text(roles=["validator"]),
        "a role twice": text(roles=[*document["roles"], "edc"]),
        "no members": text(members=[]),
        "no validators": text(members=document["members"][:2]),
        "no operators": text(members=document["members"][2:]),
        "validators without the role": text(
            roles=["operator", "prosumer", "consumer"],
            members=[{**member, "roles": ["operator"]} for member in document["members"]],
        ),
        "a member twice": text(members=[*document["members"], document["members"][0]]),
    }


def _bad_members() -> dict[str, str]:
    """Return files in which one member is wrong, or contradicts another."""
    v1, p1 = 2, 6
    return {
        "a name twice": with_member(p1, name="P2"),
        "a key twice": with_member(p1, key=key_of("P2").hex()),
        "a node key twice": with_member(v1, node_key=key_of("V2", "node").hex()),
        "a vote key twice": with_member(v1, vote_key=key_of("V2", "vote").hex()),
        "a vote key that is the account's": with_member(v1, vote_key=key_of("V1").hex()),
        "a vote key that is the node's": with_member(v1, vote_key=key_of("V1", "node").hex()),
        "a validator without vote key": with_member(v1, vote_key=""),
        "a vote key without the role": with_member(p1, vote_key=key_of("P1", "vote").hex()),
        "a node key without proof": with_member(v1, node_proof=""),
        "an unknown role": with_member(p1, roles=["king"]),
        "a bad name": with_member(p1, name="P 1"),
        "a bad bus": with_member(p1, bus="bus 1"),
        "a balance as a number": with_member(p1, balance=5),
        "a negative balance": with_member(p1, balance="-1"),
        "a balance too fine": with_member(p1, balance="0.0000001"),
        "a balance too large": with_member(p1, balance="9223372036854.775808"),
        "balances that overflow together": with_member(p1, balance="9223372036854.775807"),
        "energies that overflow together": with_member(p1, energy="9223372036854.775807"),
        "a key in no hexadecimal digits": with_member(p1, key="zz"),
        "a short key": with_member(p1, key="00"),
        "a key of small order": with_member(p1, key=SMALL_ORDER["order 8"]),
        "a vote key of small order": with_member(v1, vote_key=SMALL_ORDER["order 2"]),
        "a node key of small order": with_member(v1, node_key=SMALL_ORDER["order 4"]),
        "an unknown field of a member": with_member(p1, colour="red"),
    }
