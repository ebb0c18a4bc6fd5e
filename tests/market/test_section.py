"""The market's section of genesis: what it accepts, and each way in which it contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from market.section import read_section
from tests.market.support import Person, World
from vm.primitives.errors import InvalidGenesis

IDS = {name: bytes([number]) * 20 for number, name in enumerate(("A", "B", "A-B", "B-C", "C"))}
FEEDER = {
    "slack": "a",
    "buses": ["a", "b"],
    "lines": [{"name": "1", "from": "b", "to": "a", "rating_w": None, "owner": "A"}],
}


def read(**market: Any) -> Any:
    return read_section({"markets": [{"name": "m", **market}]}, IDS.get)[0]


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ({"name": "no name"}, "is a name"),
        ({"name": 7}, "is a name"),
        ({"colour": "red"}, "unknown fields"),
        ({"line_policy": "forbid"}, "line_policy"),
        ({"penalty_payee": "me"}, "penalty_payee"),
        ({"penalty_price": "-1"}, "not below 0"),
        ({"penalty_price": "0.0000001"}, "more digits"),
        ({"penalty_price": 1}, "number as text"),
        ({"edc": "nobody"}, "no member"),
        ({"line_policy": "penalty", "penalty_payee": "edc"}, "there is none"),
        ({"pair_limits_kwh": {"A": "1"}}, "two members"),
        ({"pair_limits_kwh": {"A-A": "1"}}, "two members"),
        ({"pair_limits_kwh": {"A-nobody": "1"}}, "two members"),
        ({"pair_limits_kwh": {"A-B-C": "1"}}, "two members"),
        ({"pair_limits_kwh": {"A-B": "1", "B-A": "1"}}, "twice"),
        ({"pair_limits_kwh": {"A-C": "much"}}, "decimal"),
        ({"pair_limits_kwh": ["A-C"]}, "JSON object"),
        ({"default_pair_limit_kwh": "-1"}, "not below 0"),
        ({"interval_minutes": 20}, "length of intervals"),
        ({"interval_minutes": "15"}, "whole number"),
        ({"interval_minutes": 15, "gate_closure_minutes": 10_081}, "out of range"),
        ({"gate_closure_minutes": 5}, "no gates"),
        ({"min_price": "2", "max_price": "1"}, "above"),
        ({"min_energy_kwh": "0"}, "above 0"),
        ({"min_energy_kwh": "0.0000001"}, "more digits"),
        ({"min_energy_kwh": "0.001", "min_price": "0.0005"}, "less than a micro-token"),
        ({"min_energy_kwh": "0.000001", "min_price": "0.5"}, "less than a micro-token"),
        ({"max_offers_per_member": 0}, "out of range"),
        ({"max_offers_per_member": 1_000_001}, "out of range"),
        ({"network": []}, "JSON object"),
        ({"network": {"slack": "a", "buses": "a"}}, "lists"),
        ({"network": {"slack": "a", "buses": ["a"], "lines": [7]}}, "JSON object"),
        ({"network": {"slack": "a", "buses": ["a"], "lines": [{"name": "1"}]}}, "'from'"),
        ({"network": {"slack": "a", "buses": ["a", "b"]}}, "not connected"),
        ({"network": {"slack": "a", "buses": ["a"], "colour": 1}}, "unknown fields"),
        (
            {"network": {**FEEDER, "lines": [*FEEDER["lines"], {**FEEDER["lines"][0]}]}},  # type: ignore[dict-item]
            "occurs 2 times",
        ),
        (
            {"network": {**FEEDER, "lines": [{**FEEDER["lines"][0], "owner": "nobody"}]}},  # type: ignore[dict-item]
            "no member",
        ),
    ],
)
def test_a_contradiction_is_refused_in_words(market: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        read(**market)


def test_the_least_energy_and_price_by_default_cost_a_micro_token() -> None:
    config = read().config
    assert (config.min_energy_milli_wh, config.min_price_micro_per_kwh) == (1_000, 1_000)
    assert config.max_offers_per_member == 1_000
    assert read(min_energy_kwh="0.000003").config.min_price_micro_per_kwh == 333_334
    assert read(min_price="0").config.min_price_micro_per_kwh == 0
    assert read(min_price="0.000501").config.min_price_micro_per_kwh == 501


def test_names_with_hyphens_are_told_apart() -> None:
    limits = read(pair_limits_kwh={"A-C": "1", "B-B-C": "2"}).pair_limits
    assert limits == {IDS["A"] + IDS["C"]: 1_000_000, IDS["B"] + IDS["B-C"]: 2_000_000}


def test_markets_have_different_names_and_a_section_only_markets() -> None:
    with pytest.raises(InvalidGenesis, match="same name"):
        read_section({"markets": [{"name": "m"}, {"name": "m"}]}, IDS.get)
    with pytest.raises(InvalidGenesis, match="unknown fields"):
        read_section({"market": []}, IDS.get)
    with pytest.raises(InvalidGenesis, match="list"):
        read_section({"markets": {}}, IDS.get)
    assert read_section({}, IDS.get) == ()


def test_the_largest_leaf_of_a_market_fits_a_proof() -> None:
    name = "m" * 32
    market = read(name=name, edc="A", default_pair_limit_kwh="9000000000000", network=FEEDER)
    assert len(market.config.encode()) <= 512
    assert all(len(record.encode()) <= 512 for record in (*market.buses, *market.lines))


def test_a_section_becomes_state_with_its_index() -> None:
    people = [Person(name, bus="b") for name in IDS]
    market = {"name": "m", "network": FEEDER, "pair_limits_kwh": {"A-C": "1"}}
    world = World(people, {"markets": [market, {"name": "other"}]})
    assert world.index() == world.rebuilt_index() != {}
