"""Which engine a genesis file gets, and which it cannot have."""

from __future__ import annotations

import pytest

from consensus.poa import PoaEngine
from consensus.pow import PowEngine
from node.engines import make_engine, work_rules
from node.ledger.genesis import Genesis, decode_genesis
from tests.node.network import genesis_document
from vm.primitives.errors import InvalidGenesis


def genesis(name: str, **parameters: int) -> Genesis:
    return decode_genesis(genesis_document(["V0"], engine=parameters, engine_name=name))


def test_engines_by_name() -> None:
    found = genesis("poa")
    assert isinstance(make_engine(found, found.parameters, None), PoaEngine)
    assert work_rules(found) is None
    found = genesis("pow", finality_depth=3, target_interval_ms=700)
    assert isinstance(make_engine(found, found.parameters, None), PowEngine)
    rules = work_rules(found)
    assert rules is not None
    assert (rules.finality_depth, rules.target_interval_ms, rules.min_difficulty) == (3, 700, 1024)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("proof-of-luck", {}),
        ("poa", {"finality_depth": 3}),
        ("pow", {"finality_dept": 3}),
        ("pow", {"finality_depth": 0}),
        ("pow", {"target_interval_ms": 0}),
        ("pow", {"min_difficulty": 0}),
    ],
)
def test_what_no_network_can_run_with_is_refused(name: str, parameters: dict[str, int]) -> None:
    found = genesis(name, **parameters)
    with pytest.raises(InvalidGenesis):
        make_engine(found, found.parameters, None)
