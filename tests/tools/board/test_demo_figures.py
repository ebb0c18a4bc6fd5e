"""The demo's template is the published cases, and its comparison finds what differs from them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from dispatch.tree_bus import solve_exactly
from market.dispatch_certificate import Certificate
from market.dispatch_layout import lay_out
from market.dispatch_results import radial_flows
from market.network import Network
from market.section import read_network
from tools.cases.catalog import load_sound_case
from tools.dispatch_demo import find_strays
from tools.dispatch_figures import DemoCase, compare
from tools.errors import Json
from tools.local_boards import Traffic

AREAS = {
    "luo16": DemoCase("luo16", load_sound_case("luo16"), registers=False),
    "feeder": DemoCase("feeder", load_sound_case("ieee13_gao", "normal"), registers=True),
    "feeder-congested": DemoCase(
        "feeder-congested", load_sound_case("ieee13_gao", "congested"), registers=True
    ),
}


def shown(case: DemoCase, certificate: Certificate) -> list[Json]:
    """What a validator's API would show of a result."""
    problem = case.case.problem
    network, layout = problem.network, lay_out(problem)
    names = [unit.name for unit in problem.units]
    return [
        {
            "lambda": {bus.name: str(p) for bus, p in zip(network.buses, each.prices, strict=True)},
            "p_w": dict(zip(names, map(str, each.powers_w), strict=True)),
            "flow_w": {
                f"{line.from_bus}-{line.to_bus}": str(flow)
                for line, flow in zip(network.lines, radial_flows(layout, each), strict=True)
            },
        }
        for each in certificate.intervals
    ]


@pytest.mark.parametrize("area", AREAS)
def test_what_the_tree_finds_are_the_published_figures(area: str) -> None:
    case = AREAS[area]
    certificate = solve_exactly(case.case.problem)
    assert compare(case, shown(case, certificate)) == []
    first = certificate.intervals[-1]
    prices = (first.prices[0] * 1_001 // 1_000, *first.prices[1:])
    wrong = (*certificate.intervals[:-1], replace(first, prices=prices))
    assert len(compare(case, shown(case, Certificate(wrong)))) == 1
    powers = tuple(power + 200 for power in first.powers_w)
    wrong = (*certificate.intervals[:-1], replace(first, powers_w=powers))
    assert len(compare(case, shown(case, Certificate(wrong)))) > 3
    assert compare(case, [])


@pytest.mark.parametrize("area", AREAS)
def test_template_has_the_networks_of_the_cases(area: str) -> None:
    document = json.loads(files("genesis").joinpath("dispatch.json").read_text(encoding="utf-8"))
    modules = document["modules"]
    (market,) = (each for each in modules["market"]["markets"] if each["name"] == area)
    wanted = AREAS[area].case.problem
    assert read_network(market["network"]) == wanted.network
    (terms,) = (each for each in modules["dispatch"]["areas"] if each["name"] == area)
    assert terms["intervals"] == wanted.intervals
    if area == "luo16":
        assert [
            (unit["name"], unit["bus"], unit["kind"], [int(n) for n in unit["bids"][0].values()])
            for unit in terms["units"]
        ] == [
            (unit.name, unit.bus, unit.kind, [bid.a, bid.b, bid.lo_w, bid.hi_w])
            for unit in wanted.units
            for bid in unit.bids
        ]
    else:
        buses = {member["bus"] for member in document["members"] if member.get("bus")}
        assert buses == {bus.name for bus in wanted.network.buses}
    assert isinstance(wanted.network, Network)


def test_messages_off_the_lines_are_found() -> None:
    partners = {"a": {"b"}, "b": {"a"}, "c": {"b"}}
    noted = {name: Traffic(dict.fromkeys(near, 3), 9, ()) for name, near in partners.items()}
    assert find_strays(noted, partners) == []
    noted["a"] = Traffic({"b": 1, "c": 1}, 9, ())
    noted["c"] = Traffic({}, 0, ())
    assert find_strays(noted, partners) == ["c alone", "a and c"]
