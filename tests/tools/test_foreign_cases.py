"""Readers of foreign formats: what they read, what they note, and what they refuse with words."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from dispatch.solve import solve
from market.dispatch_check import verify_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from tools.cases.catalog import load_case
from tools.cases.matpower import read_matpower
from tools.cases.problem_file import read_problem, write_problem
from tools.cli import cli
from tools.session import Session
from vm.primitives.errors import InvalidInput

TRIANGLE = """function mpc = triangle
% three buses, made for these tests
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
    1  3  0    0  0  0  1  1  0  230  1  1.1  0.9;
    2  1  90   0  0  0  1  1  0  230  1  1.1  0.9;  % a load
    7  2  0    0  0  0  1  1  0  230  1  1.1  0.9;
];
mpc.gen = [
    1  0  0  50  -50  1  100  1  200  0;
    7  0  0  50  -50  1  100  1  200  10;
    7  0  0  50  -50  1  100  0  200  0;
];
mpc.branch = [
    1  2  0.01  0.10  0  60  0  0  0     0  1  -360  360;
    2  7  0.01  0.10  0  0   0  0  0.98  0  1  -360  360;
    1  7  0.01  0.20  0  0   0  0  0     0  1  -360  360;
    1  7  0.01  0.20  0  0   0  0  0     0  0  -360  360;
];
mpc.gencost = [
    2  0  0  3  0.01  10  5;
    1  0  0  3  10    100  60  1100  200  6000;
    2  0  0  2  1     0    0   0     0    0;
];
"""


def table(columns: list[str], *rows: list[object]) -> dict[str, object]:
    """A DataFrame as pandapower writes it."""
    content = {"columns": columns, "index": list(range(len(rows))), "data": list(rows)}
    return {"_module": "pandas", "_class": "DataFrame", "_object": json.dumps(content)}


def small_net(**changes: object) -> dict[str, object]:
    """A net of three buses as pandapower writes it, a bus coupler among them."""
    tables = {
        "name": "small",
        "sn_mva": 1.0,
        "bus": table(["vn_kv", "in_service"], [20.0, True], [20.0, True], [20.0, True]),
        "switch": table(["bus", "element", "et", "closed"], [1, 2, "b", True]),
        "line": table(
            ["from_bus", "to_bus", "length_km", "x_ohm_per_km", "max_i_ka", "df", "parallel",
             "max_loading_percent", "in_service"],
            [0, 1, 2.0, 0.4, 0.1, 1.0, 1, 100.0, True],
        ),
        "load": table(["bus", "p_mw", "scaling", "in_service"], [2, 1.5, 1.0, True]),
        "ext_grid": table(["bus", "in_service", "max_p_mw", "min_p_mw"], [0, True, 10.0, -10.0]),
        "poly_cost": table(
            ["element", "et", "cp0_eur", "cp1_eur_per_mw", "cp2_eur_per_mw2"],
            [0, "ext_grid", 0.0, 25.0, 0.5],
        ),
        **changes,
    }  # fmt: skip
    return {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": tables}


def test_matpower() -> None:
    case = read_matpower(TRIANGLE, "triangle.m")
    problem = case.problem
    assert check_problem(problem) == ()
    assert [bus.name for bus in problem.network.buses] == ["1", "2", "7"]
    assert [line.rating_w for line in problem.network.lines] == [60_000_000, None, None]
    reactances = [line.reactance_nano_ohm for line in problem.network.lines]
    assert [reactances[0] * 98, reactances[0] * 2] == [reactances[1] * 100, reactances[2]]
    units = {unit.name: unit.bids[0] for unit in problem.units}
    assert units["load.2"].lo_w == units["load.2"].hi_w == -90_000_000
    assert units["gen.1"].a == 2 * 10**10
    assert units["gen.1"].b == 10 * 10**18
    assert units["gen.2.1"].b == 20 * 10**18
    assert (units["gen.2.1"].lo_w, units["gen.2.1"].hi_w) == (10_000_000, 60_000_000)
    assert units["gen.2.2"].hi_w == 140_000_000
    assert any("Constant costs" in note for note in case.notes)
    assert verify_certificate(lay_out(problem), solve(problem).certificate)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("mpc.baseMVA = 100;", ""), "invalid_case"),
        (("function mpc = triangle", ""), "invalid_case"),
        (("0.98", "nine"), "invalid_case"),
        (("2  0  0  2  1", "3  0  0  2  1"), "ok"),
        (("2  0  0  3  0.01", "4  0  0  3  0.01"), "invalid_case"),
        (("    7  2  0    0", "    1  2  0    0"), "invalid_case"),
        (("mpc.gencost = [", "mpc.other = ["), "invalid_case"),
        (("1   0     0    0   0     0    0;\n];", "1;\n];\nmpc.bus(:, 3) = 0;"), "ok"),
    ],
)
def test_matpower_that_cannot_be_read(change: tuple[str, str], code: str) -> None:
    text = TRIANGLE.replace(*change)
    if code == "ok":
        read_matpower(text, "changed.m")
        return
    with pytest.raises(InvalidInput) as refusal:
        read_matpower(text, "changed.m")
    assert refusal.value.code == code


def test_matpower_that_computes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="computes in MATLAB"):
        read_matpower(TRIANGLE + "mpc.bus(:, 3) = mpc.bus(:, 3) / 1e3;\n", "computing.m")


def test_unknown_buses_and_islands_are_found_by_the_check() -> None:
    text = TRIANGLE.replace("    1  2  0.01  0.10  0  60", "    1  9  0.01  0.10  0  60")
    text = text.replace("    2  7  0.01", "    2  8  0.01")
    codes = {finding.code for finding in check_problem(read_matpower(text, "wrong.m").problem)}
    assert {"unknown_bus", "island"} <= codes


def test_pandapower(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(small_net()))
    case = load_case(str(path))
    problem = case.problem
    assert check_problem(problem) == ()
    assert len(problem.network.buses) == 2
    (line,) = problem.network.lines
    assert line.rating_w == pytest.approx(0.1 * 20 * 3**0.5 * 1e6, abs=1)
    bids = {unit.name: unit.bids[0] for unit in problem.units}
    assert bids["ext_grid.0"].a == 10**12
    assert bids["ext_grid.0"].b == 25 * 10**18
    assert bids["load.0"].hi_w == -1_500_000
    again = read_problem(json.loads(json.dumps(write_problem(case))), "normal")
    assert again.problem == problem


def test_pandapower_notes_and_refusals(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(small_net(motor=table(["bus"], [1]))))
    assert any("motor" in note for note in load_case(str(path)).notes)
    for changes in (
        {"pwl_cost": table(["element"], [1])},
        {"line": {"_class": "DataFrame", "_object": "no table"}},
        {"load": table(["bus", "p_mw"], [1, None])},
    ):
        path.write_text(json.dumps(small_net(**changes)))
        with pytest.raises(InvalidInput) as refusal:
            load_case(str(path))
        assert refusal.value.code == "invalid_case"


def test_opendss(tmp_path: Path) -> None:
    path = tmp_path / "master.dss"
    path.write_text(
        "clear\nnew circuit.tiny basekv=0.4 pu=1 bus1=source\n"
        "new line.one bus1=source bus2=house length=0.1 units=km x1=0.1 r1=0.3 normamps=200\n"
        "new load.home bus1=house kv=0.4 kw=5 pf=1\nset voltagebases=[0.4]\ncalcvoltagebases\n"
    )
    if find_spec("dss") is None:
        with pytest.raises(InvalidInput, match="dss-python"):
            load_case(str(path))
        return
    case = load_case(str(path))
    assert check_problem(case.problem) == ()
    assert [bus.name for bus in case.problem.network.buses] == ["source", "house"]
    (line,) = case.problem.network.lines
    assert line.rating_w == pytest.approx(200 * 0.4 * 3**0.5 * 1_000, rel=1e-3)
    assert {unit.name: unit.bids[0].hi_w for unit in case.problem.units}["load.home"] == -5_000


def test_the_commands_take_foreign_files(tmp_path: Path) -> None:
    source, own = tmp_path / "triangle.m", tmp_path / "own.json"
    source.write_text(TRIANGLE)
    runner = CliRunner()
    assert invoke(runner, "convert", str(source), str(own)) == ""
    solution = tmp_path / "solution.json"
    solution.write_text(invoke(runner, "solve", str(own), "--json"))
    assert "1 hours accepted" in invoke(runner, "verify", str(source), str(solution))
    tables = json.loads(invoke(runner, "solve", str(source), "--tables"))["hours"][0]
    assert tables["res_load"]["load.2"] == {"p_mw": 90.0}
    flow = tables["res_line"]["1-2"]
    assert flow["loading_percent"] == pytest.approx(100 * abs(flow["p_from_mw"]) / 60)
    assert sum(row["p_mw"] for row in tables["res_bus"].values()) == pytest.approx(0)
    assert 10 < tables["res_bus"]["2"]["lam_p"] < 50


def invoke(runner: CliRunner, *arguments: str) -> str:
    """What `bitenergy dispatch` prints."""
    session = Session(Path("unused"))
    done = runner.invoke(cli, ["dispatch", *arguments], obj=session, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout
