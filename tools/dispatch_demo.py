"""The demo of dispatch: four validators and 16 boards compute the published cases and prove them.

Luo's 16 agents on a ring, then 24 hours of the modified IEEE 13-node feeder, normal and congested.
What every validator then says is compared with the published figures.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Final

from tools.board.config import CONFIG_FILE, BoardArea, Neighbour, OwnUnit, load_config
from tools.cases.case import CONGESTED, NORMAL
from tools.cases.catalog import load_sound_case
from tools.client import NodeClient, list_field, object_field, text_field
from tools.dispatch_figures import PRICE_UNITS_PER_KWH, DemoCase, compare
from tools.errors import EXIT_FAILED, EXIT_OK, Json, NodeTimeout
from tools.local_boards import (
    BOARDS_FOLDER,
    LOG_FILE,
    LocalBoard,
    Traffic,
    configure_board,
    make_keys,
    read_traffic,
    start_boards,
    stop_boards,
)
from tools.node_folder import choose_ports
from tools.output import live_table, note, print_json, print_lines, print_table, waiting
from tools.session import Session
from tools.testnet import HOST, LocalNetwork, create_network, start_nodes, stop_nodes

TEMPLATE: Final = "dispatch.json"
OPERATOR: Final = "operator"
DEADLINE_S: Final = 90.0
POLL_S: Final = 0.1
LIVE_COLUMNS: Final = (
    ">round",
    "area",
    "status",
    ">hours",
    ">prices $/kWh",
    ">greatest flow kW",
)


@dataclass(frozen=True, slots=True)
class DemoRound:
    """One round of the demo, closed."""

    area: str
    """Its area."""
    number: int
    """Its number on the chain."""
    status: str
    """How it was closed."""
    submitter: str
    """Whose board proved it."""
    message_rounds: int
    """Rounds of messages between neighbours that the boards took."""
    opened_to_proved_ms: int
    """Time from its opening until it was seen proved."""
    gap_ratio: float
    """Proven gap as a part of turnover."""
    findings: tuple[str, ...]
    """Where a validator's figures differ from the published ones."""
    roots: tuple[str, ...]
    """The result's root on each validator."""
    results: tuple[Json, ...]
    """Prices, powers and flows per hour, as the first validator says."""

    @property
    def ok(self) -> bool:
        """Whether it was proved and agrees with the published figures on all validators."""
        return self.status == "proved" and not self.findings and len(set(self.roots)) == 1

    def as_json(self) -> dict[str, object]:
        """Return it as the demo prints it."""
        return {
            "area": self.area,
            "round": self.number,
            "ok": self.ok,
            "status": self.status,
            "submitter": self.submitter,
            "message_rounds": self.message_rounds,
            "opened_to_proved_ms": self.opened_to_proved_ms,
            "gap_ratio": self.gap_ratio,
            "root": self.roots[0] if self.roots else None,
            "validators": len(self.roots),
            "findings": list(self.findings),
            "hours": [{"hour": hour, **result} for hour, result in enumerate(self.results, 1)],
        }


def run_demo(*, leave: bool, as_json: bool) -> int:
    """Run the demo; return 0 only if every figure agrees on every validator."""
    cases = (
        DemoCase("luo16", load_sound_case("luo16"), registers=False),
        DemoCase("feeder", load_sound_case("ieee13_gao", NORMAL), registers=True),
        DemoCase("feeder-congested", load_sound_case("ieee13_gao", CONGESTED), registers=True),
    )
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-dispatch-"))
    began_s = time.monotonic()
    boards: list[LocalBoard] = []
    network: LocalNetwork | None = None
    done = False
    try:
        with waiting("four validators and 16 boards start", quiet=as_json):
            network, boards = _make(folder, cases)
            start_nodes(network.nodes)
            start_boards(boards)
            _await_units(network, cases)
        rounds: list[DemoRound] = []
        with live_table("Dispatch rounds", LIVE_COLUMNS, quiet=as_json) as show:
            for each in cases:
                rounds.append(_run_round(network, boards, each, _Watch(show, boards, rounds)))
        if not as_json:
            for found in rounds:
                _print_round(found)
        traffic = {board.member: read_traffic(board) for board in boards}
        strays = find_strays(traffic, _partners(boards))
        done = True
    finally:
        if network is not None and (leave or not done):
            stop_boards(boards)
            stop_nodes(network.nodes)
        if leave and done:
            shutil.rmtree(folder, ignore_errors=True)
    ok = all(each.ok for each in rounds) and not strays
    elapsed_s = time.monotonic() - began_s
    if as_json:
        print_json(_as_json(rounds, traffic, strays, ok=ok, elapsed_s=elapsed_s))
    else:
        _print_end(rounds, traffic, strays, ok=ok, elapsed_s=elapsed_s)
    if not leave:
        note(f"The network stays up: {network.nodes[0].api_url}/api/v1/dispatch/rounds")
        note(f"Stop the boards with: bitenergy board stop {folder / BOARDS_FOLDER}")
        note(f"Stop the validators with: bitenergy testnet down --dir {network.folder}")
    return EXIT_OK if ok else EXIT_FAILED


def _make(folder: Path, cases: Sequence[DemoCase]) -> tuple[LocalNetwork, list[LocalBoard]]:
    """Make the network's and the boards' folders."""
    template = json.loads(files("genesis").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    names = [
        text_field(member, "name")
        for member in list_field(template, "members")
        if "board" in str(member.get("roles"))
    ]
    identities = make_keys(folder, names)
    members = []
    for member in list_field(template, "members"):
        identity = identities.get(text_field(member, "name"))
        keys = {} if identity is None else identity.registered()
        members.append({**member, **keys})
    network = create_network(folder / "network", {**template, "members": members})
    taken = [port for node in network.nodes for port in (node.api_port, node.p2p_port)]
    ports = choose_ports(len(names), taken)
    boards = [
        LocalBoard(name, folder / BOARDS_FOLDER / name, port)
        for name, port in zip(names, ports, strict=True)
    ]
    places = {board.member: board for board in boards}
    owners = {each.area: _owners(each, list_field(template, "members")) for each in cases}
    for place, board in enumerate(boards):
        areas = [
            found
            for each in cases
            if (found := _area_of(board.member, each, owners[each.area], places)) is not None
        ]
        configure_board(board, network, place, areas)
    return network, boards


def _owners(each: DemoCase, members: Sequence[Json]) -> dict[str, str]:
    """Return the member whose board stands at each bus."""
    if not each.registers:
        return {bus.name: bus.name for bus in each.case.problem.network.buses}
    return {
        text_field(member, "bus"): text_field(member, "name")
        for member in members
        if member.get("bus")
    }


def _area_of(
    member: str, each: DemoCase, owners: Mapping[str, str], places: Mapping[str, LocalBoard]
) -> BoardArea | None:
    """Return a board's place in an area; None where it has none."""
    problem = each.case.problem
    bus = next((bus for bus, owner in owners.items() if owner == member), None)
    if bus is None:
        return None
    beside = [
        line.to_bus if line.from_bus == bus else line.from_bus
        for line in problem.network.lines
        if bus in (line.from_bus, line.to_bus)
    ]
    neighbours = tuple(
        Neighbour(other, owners[other], HOST, places[owners[other]].port) for other in beside
    )
    units = tuple(
        OwnUnit(
            unit.name,
            unit.kind,
            tuple((bid.a, bid.b, bid.lo_w, bid.hi_w) for bid in unit.bids),
        )
        for unit in problem.units
        if each.registers and unit.bus == bus
    )
    return BoardArea(each.area, bus, neighbours, units)


def _await_units(network: LocalNetwork, cases: Sequence[DemoCase]) -> None:
    """Wait until every unit is registered."""
    client = NodeClient(network.nodes[0].api_url, genesis=network.genesis)
    deadline = time.monotonic() + DEADLINE_S
    wanted = {each.area: len(each.case.problem.units) for each in cases}
    while True:
        areas = list_field(client.get("/dispatch/areas"), "areas")
        found = {text_field(area, "name"): len(list_field(area, "units")) for area in areas}
        if all(found.get(area) == count for area, count in wanted.items()):
            client.close()
            return
        if time.monotonic() > deadline:
            raise NodeTimeout(
                "the boards did not register their units in time",
                expected=wanted,
                actual=found,
                hint=f"See the file {LOG_FILE} of each board.",
            )
        time.sleep(POLL_S)


class _Watch:
    """Keeps the live table of rounds up to date while one is computed."""

    def __init__(
        self,
        show: Callable[[Sequence[Sequence[object]]], None],
        boards: Sequence[LocalBoard],
        before: Sequence[DemoRound],
    ) -> None:
        self._show = show
        self._boards = boards
        self._rows = [
            _live_row(each.area, each.number, each.status, each.results) for each in before
        ]

    def look(self, area: str, number: int, shown: Json) -> None:
        """Show how the round stands now."""
        status = text_field(object_field(shown, "round"), "status")
        if status == "open":
            count = sum(sum(read_traffic(board).partners.values()) for board in self._boards) // 2
            status = f"open, {count} messages"
        results = list_field(shown, "results")
        self._show([*self._rows, _live_row(area, number, status, results)])


def _live_row(area: str, number: int, status: str, results: Sequence[Json]) -> list[object]:
    prices = [int(str(p)) for each in results for p in object_field(each, "lambda").values()]
    flows = [abs(int(str(f))) for each in results for f in object_field(each, "flow_w").values()]
    return [
        number,
        area,
        status,
        len(results) or "",
        f"{_price_text(min(prices))} to {_price_text(max(prices))}" if prices else "",
        f"{max(flows) / 1_000:.1f}" if flows else "",
    ]


def _run_round(
    network: LocalNetwork, boards: Sequence[LocalBoard], each: DemoCase, watch: _Watch
) -> DemoRound:
    """Open a round as the operator, wait until it is closed, and compare it everywhere."""
    session = Session(network.home, timeout_s=DEADLINE_S, as_json=True)
    final = session.send(session.open_signer(OPERATOR), [("dispatch", "open", (each.area, 0))])
    values = final.receipt.get("values")
    number = int(str(values[0])) if isinstance(values, list) and values else 0
    began_s = time.monotonic()
    shown = _await_closed(session.client(), number, lambda now: watch.look(each.area, number, now))
    elapsed_ms = int((time.monotonic() - began_s) * 1_000)
    session.client().close()
    found = object_field(shown, "round")
    findings: list[str] = []
    roots: list[str] = []
    for node in network.nodes:
        client = NodeClient(node.api_url, genesis=network.genesis)
        there = _await_closed(client, number, lambda now: None)
        client.close()
        roots.append(str(object_field(there, "round").get("root")))
        results = list_field(there, "results")
        findings += [f"{node.name}: {finding}" for finding in compare(each, results)]
    gap, turnover = str(found.get("gap_twice") or 0), str(found.get("turnover_twice") or 0)
    return DemoRound(
        each.area,
        number,
        text_field(found, "status"),
        str(found.get("submitter_name")),
        _message_rounds(boards, number),
        elapsed_ms,
        int(gap) / max(1, int(turnover)),
        tuple(findings),
        tuple(roots),
        tuple(list_field(shown, "results")),
    )


def _await_closed(client: NodeClient, number: int, look: Callable[[Json], None]) -> Json:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        shown = client.get(f"/dispatch/rounds/{number}")
        look(shown)
        if text_field(object_field(shown, "round"), "status") in ("proved", "fallen_back"):
            return shown
        if time.monotonic() > deadline:
            raise NodeTimeout(f"round {number} is not closed after {DEADLINE_S:g} s")
        time.sleep(POLL_S)


def _message_rounds(boards: Sequence[LocalBoard], number: int) -> int:
    """Return the rounds of messages that the accepted submission took; 0 if none is noted yet."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        for board in boards:
            for outcome in read_traffic(board).outcomes:
                if outcome.get("round") == number and outcome.get("accepted"):
                    return int(str(outcome.get("message_rounds")))
        time.sleep(POLL_S)
    return 0


def _partners(boards: Sequence[LocalBoard]) -> dict[str, set[str]]:
    """Return the members with which each board shares a line in some area."""
    return {
        board.member: {
            neighbour.member
            for area in load_config(board.folder / CONFIG_FILE).areas
            for neighbour in area.neighbours
        }
        for board in boards
    }


def find_strays(traffic: Mapping[str, Traffic], partners: Mapping[str, set[str]]) -> list[str]:
    """Return pairs of boards that exchanged messages and share no line; or that noted none."""
    silent = [f"{member} alone" for member, noted in traffic.items() if not noted.partners]
    return silent + [
        f"{member} and {partner}"
        for member, noted in traffic.items()
        for partner in noted.partners
        if partner not in partners[member]
    ]


def _as_json(
    rounds: Sequence[DemoRound],
    traffic: Mapping[str, Traffic],
    strays: Sequence[str],
    *,
    ok: bool,
    elapsed_s: float,
) -> dict[str, object]:
    return {
        "ok": ok,
        "elapsed_s": round(elapsed_s, 2),
        "rounds": [each.as_json() for each in rounds],
        "boards": {
            member: {"messages": dict(noted.partners), "sent_bytes": noted.sent_bytes}
            for member, noted in traffic.items()
        },
        "messages_off_the_feeder": list(strays),
    }


def _print_round(each: DemoRound) -> None:
    rows = []
    for hour, result in enumerate(each.results, 1):
        prices = [int(str(price)) for price in object_field(result, "lambda").values()]
        powers = [int(str(power)) for power in object_field(result, "p_w").values()]
        flows = [abs(int(str(flow))) for flow in object_field(result, "flow_w").values()]
        rows.append(
            [
                str(hour),
                _price_text(min(prices)),
                _price_text(max(prices)),
                f"{sum(power for power in powers if power > 0) / 1_000:.3f}",
                f"{max(flows, default=0) / 1_000:.3f}",
            ]
        )
    print_table(
        f"Round {each.number}, {each.area}: {each.status} by {each.submitter} after "
        f"{each.message_rounds} rounds of messages, gap {each.gap_ratio:.1e}",
        ["hour", ">lowest price $/kWh", ">highest", ">generation kW", ">greatest flow kW"],
        rows,
    )
    words = "every figure agrees on every validator" if each.ok else "figures differ"
    print_lines(*each.findings[:20], f"{words}; root {each.roots[0][:16]}", "")


def _print_end(
    rounds: Sequence[DemoRound],
    traffic: Mapping[str, Traffic],
    strays: Sequence[str],
    *,
    ok: bool,
    elapsed_s: float,
) -> None:
    messages = sum(sum(noted.partners.values()) for noted in traffic.values()) // 2
    print_lines(
        f"{len(rounds)} rounds, {len(traffic)} boards, {messages} messages, "
        + (f"NOT along lines: {', '.join(strays)}" if strays else "all along lines")
        + f"; {elapsed_s:.1f} s: {'ok' if ok else 'FAILED'}"
    )


def _price_text(price: int) -> str:
    return f"{Decimal(price) / PRICE_UNITS_PER_KWH:.6f}"
