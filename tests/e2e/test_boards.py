"""Boards as processes: they register, compute a round with neighbours, and one may be killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dispatch.tree_bus import solve_exactly
from tools.board.config import BoardArea, Neighbour, OwnUnit
from tools.cases.catalog import load_case
from tools.cli import run
from tools.client import NodeClient
from tools.errors import Json
from tools.local_boards import (
    BOARDS_FOLDER,
    PID_FILE,
    LocalBoard,
    boards_in,
    configure_board,
    make_keys,
    read_traffic,
    start_boards,
    stop_boards,
)
from tools.node_folder import choose_ports
from tools.processes import load_mark, send_signal
from tools.session import Session
from tools.solution_file import write_solution
from tools.testnet import HOST, LocalNetwork, create_network, start_nodes, stop_nodes

MILLI = 10**17
UNITS = {
    "wind": ("A", OwnUnit("wind", "generator", ((2 * MILLI, 100 * MILLI, 0, 1_000),))),
    "gas": ("B", OwnUnit("gas", "generator", ((0, 3_000 * MILLI, 0, 1_000),))),
    "house": ("C", OwnUnit("house", "load", ((0, 9_000 * MILLI, -900, -300),))),
}
"""One unit at each bus of the feeder A - B - C, whose first line carries 600 W."""
DEADLINE_S = 40.0


Units = Mapping[str, tuple[str, OwnUnit]]
Lines = Sequence[dict[str, object]]
LINES: Lines = (
    {"name": "A-B", "from": "A", "to": "B", "rating_w": 600},
    {"name": "B-C", "from": "B", "to": "C"},
)
RING_UNITS: Units = UNITS | {
    "shop": ("D", OwnUnit("shop", "load", ((0, 9_000 * MILLI, -500, -100),)))
}
RING: Lines = (
    {"name": "A-B", "from": "A", "to": "B", "reactance_nano_ohm": 100_000_000, "rating_w": 150},
    {"name": "B-C", "from": "B", "to": "C", "reactance_nano_ohm": 150_000_000},
    {"name": "C-D", "from": "C", "to": "D", "reactance_nano_ohm": 120_000_000},
    {"name": "D-A", "from": "D", "to": "A", "reactance_nano_ohm": 80_000_000},
)
"""A unit at each bus of a ring; the line from the wind to the gas carries 150 W."""


def template(units: Units, lines: Lines) -> dict[str, object]:
    members: list[dict[str, object]] = [{"name": "operator", "roles": ["operator"]}]
    members += [
        {"name": name, "roles": ["board", "prosumer"], "bus": bus, "balance": "1000"}
        for name, (bus, _) in units.items()
    ]
    buses = [bus for bus, _ in units.values()]
    market = {
        "name": "grid",
        "min_price": "0",
        "network": {"slack": "A", "buses": buses, "lines": lines},
    }
    area = {"name": "grid", "market": "grid", "reward": "1", "bond": "5", "pot": "10"}
    return {
        "chain": "boards",
        "engine": {"name": "poa", "parameters": {}},
        "roles": ["operator", "validator", "board", "prosumer"],
        "members": members,
        "modules": {"market": {"markets": [market]}, "dispatch": {"areas": [area]}},
    }


def make(
    folder: Path, units: Units = UNITS, lines: Lines = LINES, *, light: str = ""
) -> tuple[LocalNetwork, list[LocalBoard]]:
    document = template(units, lines)
    identities = make_keys(folder, list(units))
    for member in document["members"]:  # type: ignore[attr-defined]
        if member["name"] in identities:
            member.update(identities[member["name"]].registered())
    network = create_network(folder / "network", document, validators=1)
    taken = [port for node in network.nodes for port in (node.api_port, node.p2p_port)]
    api_port, p2p_port, *ports = choose_ports(2 + len(units), taken)
    boards = [
        LocalBoard(name, folder / BOARDS_FOLDER / name, port)
        for name, port in zip(units, ports, strict=True)
    ]
    at = {units[board.member][0]: board for board in boards}
    for place, board in enumerate(boards):
        bus, unit = units[board.member]
        near = tuple(
            Neighbour(end, at[end].member, HOST, at[end].port)
            for line in lines
            for end in (str(line["from"]), str(line["to"]))
            if bus in (line["from"], line["to"]) and end != bus
        )
        area = BoardArea("grid", bus, near, (unit,))
        light_ports = (api_port, p2p_port) if board.member == light else None
        configure_board(board, network, place, [area], light_ports=light_ports)
    return network, boards


def await_units(client: NodeClient, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(client.get("/dispatch/areas")["areas"][0]["units"]) < count:  # type: ignore[index]
        assert time.monotonic() < deadline, "the boards did not register"
        time.sleep(0.05)


def wait_for(client: NodeClient, number: int) -> dict[str, object]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        shown = client.get(f"/dispatch/rounds/{number}")
        if shown["round"]["status"] != "open":  # type: ignore[index]
            return shown
        time.sleep(0.05)
    raise AssertionError(f"round {number} was not proved")


def submit_by_hand(network: LocalNetwork, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person opens a round, solves its problem, submits what is wrong, and then what is right."""

    def bitenergy(*arguments: str) -> tuple[int, Json]:
        capsys.readouterr()
        status = run(["--home", str(network.home), "dispatch", *arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    assert bitenergy("open", "grid", "--from", "operator")[1]["round"] == 3
    case, solution = folder / "case.json", folder / "solution.json"
    assert bitenergy("show", "3", "--case", str(case))[1]["results"] == []
    found = load_case(str(case))
    solved = write_solution(found, (1,), "tree", (0,), solve_exactly(found.problem))
    wrong = json.loads(json.dumps(solved))
    wrong["hours"][0]["lambda"]["A"] = "1"
    solution.write_text(json.dumps(wrong))
    sending = ("submit", "3", str(solution), "--from", "house")
    status, answer = bitenergy(*sending)
    assert (status, answer["error"]["code"]) == (1, "gap")  # type: ignore[index]
    status, answer = bitenergy(*sending, "--unchecked")
    assert (status, answer["accepted"], answer["code"]) == (1, False, "gap")
    solution.write_text(json.dumps(solved))
    assert bitenergy(*sending)[1]["accepted"] is True
    proved = bitenergy("prove", "3", "C")[1]
    assert (proved["figure"], proved["verified"]) == (str(3_000 * MILLI), True)
    assert bitenergy("prove", "3", "house", "--kind", "power")[1]["figure"] == "-900"
    assert bitenergy("prove", "3", "nowhere")[0] == 1
    (last, *_) = bitenergy("rounds", "--limit", "1")[1]["rounds"]  # type: ignore[misc]
    assert (last["number"], last["status"], last["refused"]) == (3, "proved", 1)


def test_boards_prove_a_round_and_one_may_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, boards = make(tmp_path, light="wind")
    client = NodeClient(network.nodes[0].api_url, genesis=network.genesis)
    try:
        start_nodes(network.nodes)
        start_boards(boards)
        await_units(client, len(UNITS))
        session = Session(network.home, as_json=True, timeout_s=DEADLINE_S)
        operator = session.open_signer("operator")
        session.send(operator, [("dispatch", "open", ("grid", 0))])
        first = wait_for(client, 1)
        assert first["round"]["status"] == "proved"  # type: ignore[index]
        (result,) = first["results"]  # type: ignore[misc]
        assert result["p_w"] == {"wind": "600", "gas": "300", "house": "-900"}
        assert result["lambda"] == {
            "A": str(1_300 * MILLI),
            "B": str(3_000 * MILLI),
            "C": str(3_000 * MILLI),
        }
        partners = {board.member: set(read_traffic(board).partners) for board in boards}
        assert partners == {"wind": {"gas"}, "gas": {"wind", "house"}, "house": {"gas"}}
        mark = load_mark(tmp_path / BOARDS_FOLDER / "gas" / PID_FILE)
        assert mark is not None and send_signal(mark, signal.SIGKILL)
        session.send(operator, [("dispatch", "open", ("grid", 0))])
        second = wait_for(client, 2)
        assert second["round"]["status"] == "proved"  # type: ignore[index]
        assert second["results"] == first["results"]
        session.client().close()
        stop_boards(boards)
        submit_by_hand(network, tmp_path, capsys)
    finally:
        client.close()
        stop_boards(boards)
        stop_nodes(network.nodes)
    # The board at the slack bus followed the chain with a light node of its own.
    assert (tmp_path / BOARDS_FOLDER / "wind" / "data").is_dir()
    assert not any(board.running for board in boards_in(tmp_path / BOARDS_FOLDER))
    topics = {
        json.loads(line).get("topic")
        for board in boards
        for line in (board.folder / "traffic.jsonl").read_text().splitlines()
    }
    assert {"data/generator/wind", "data/generator/gas", "data/consumer/house"} <= topics


@pytest.mark.long
def test_boards_of_a_ring_prove_a_round_and_one_may_stop(tmp_path: Path) -> None:
    network, boards = make(tmp_path, RING_UNITS, RING)
    client = NodeClient(network.nodes[0].api_url, genesis=network.genesis)
    try:
        start_nodes(network.nodes)
        start_boards(boards)
        await_units(client, len(RING_UNITS))
        session = Session(network.home, as_json=True, timeout_s=DEADLINE_S)
        operator = session.open_signer("operator")
        session.send(operator, [("dispatch", "open", ("grid", 0))])
        first = wait_for(client, 1)
        assert first["round"]["status"] == "proved"  # type: ignore[index]
        partners = {board.member: set(read_traffic(board).partners) for board in boards}
        assert partners == {
            "wind": {"gas", "shop"},
            "gas": {"wind", "house"},
            "house": {"gas", "shop"},
            "shop": {"wind", "house"},
        }
        mark = load_mark(tmp_path / BOARDS_FOLDER / "gas" / PID_FILE)
        assert mark is not None and send_signal(mark, signal.SIGKILL)
        session.send(operator, [("dispatch", "open", ("grid", 0))])
        second = wait_for(client, 2)
        assert second["round"]["status"] == "proved"  # type: ignore[index]
        assert second["results"][0]["p_w"] == first["results"][0]["p_w"]  # type: ignore[index]
        session.client().close()
    finally:
        client.close()
        stop_boards(boards)
        stop_nodes(network.nodes)
    (result,) = first["results"]  # type: ignore[misc]
    assert result["flow_w"]["A-B"] == "150", "the line is full"
    assert sum(map(int, result["p_w"].values())) == 0
    assert int(result["lambda"]["A"]) < int(result["lambda"]["B"])
