"""Cases are read exactly, written back the same, and found wrong in every respect at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from market.dispatch_problem import LOAD
from tools.cases.catalog import BUNDLED, InvalidCase, load_case, load_sound_case
from tools.cases.fields import parse_json
from tools.cases.graphs import random_links, ring, spanning_tree
from tools.cases.problem_file import read_problem, write_problem
from tools.cases.published import read_luo
from vm.primitives.errors import InvalidInput


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_bundled_case_survives_our_own_form(name: str, limits: str) -> None:
    case = load_sound_case(name, limits)
    document = parse_json(json.dumps(write_problem(case)), name)
    assert read_problem(document, limits) == case


def test_feeder_has_the_figures_of_the_thesis() -> None:
    case = load_sound_case("ieee13_gao", "congested")
    units = {unit.name: unit for unit in case.problem.units}
    lines = {line.name: line for line in case.problem.network.lines}
    assert (len(case.problem.network.buses), len(units), case.problem.intervals) == (13, 24, 24)
    assert units["692.2"].bids[0].a == 82 * 10**11
    assert units["Sourcebus.1"].bids[0].b == 207 * 10**18
    assert [units["646.3"].bids[hour].hi_w for hour in (0, 6, 13)] == [0, 18_500, 185_000]
    assert units["L646.2"].kind == LOAD
    assert (units["L646.2"].bids[0].lo_w, units["L646.2"].bids[0].hi_w) == (-133_400, -80_040)
    assert (lines["632-671"].rating_w, lines["692-675"].rating_w) == (100_000, 500_000)
    assert lines["633-634"].reactance_nano_ohm == 692_224_000
    free = load_sound_case("ieee13_gao", "normal").problem.network.lines
    assert {line.rating_w for line in free} == {None}


def test_agents_without_a_grid_stand_on_the_shallowest_tree() -> None:
    names = [f"N{number}" for number in range(16)]
    root, tree = spanning_tree(names, ring(names))
    assert (root, len(tree)) == ("N0", 15)
    for seed in range(20):
        links = random_links(names, 32, seed)
        assert len(set(links)) == 32
        assert set(spanning_tree(names, links)[1]) <= {*links, *(pair[::-1] for pair in links)}
    with pytest.raises(InvalidInput, match="N3"):
        spanning_tree(names[:4], [("N0", "N1"), ("N1", "N2")])


def test_luo_takes_any_graph() -> None:
    names = [unit.name for unit in load_case("luo16").problem.units]
    document = parse_json(
        (Path(__file__).parents[2] / "genesis/cases/luo16.json").read_text(), "luo16"
    )
    case = read_luo(document, "normal", random_links(names, 32, 7))
    assert len(case.links) == 32
    assert len(case.problem.network.lines) == 15


def test_every_fault_of_a_case_is_listed(tmp_path: Path) -> None:
    document = write_problem(load_case("ieee13_gao", "congested"))
    network = document["network"]
    network["lines"][0]["rating_w"] = -5  # type: ignore[index]
    network["lines"][3]["to"] = "nowhere"  # type: ignore[index]
    document["units"][1]["bids"][2]["a"] = "-1"  # type: ignore[index]
    document["units"][2]["name"] = document["units"][3]["name"]  # type: ignore[index]
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidCase) as caught:
        load_sound_case(str(path))
    found = {finding.code for finding in caught.value.findings}
    assert found == {"rating", "unknown_bus", "island", "not_convex", "duplicate"}


@pytest.mark.parametrize("text", ["[]", "{", '{"nodes": 3}', '{"schema": "bitenergy-dispatch-1"}'])
def test_other_documents_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_case(str(path))
    with pytest.raises(InvalidInput, match="no case"):
        load_case("case99")
