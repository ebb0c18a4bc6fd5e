"""The commands of certificates against a real node: from a meter's registers to a retirement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.calls import submit_registers
from tools.cli import run
from tools.commands.testnet import load_template
from tools.session import Session
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes

ROOT = Path(__file__).resolve().parent.parent.parent
Ask = Callable[..., dict]
KWH = 1_000_000
INTERVAL_MS = 15 * 40
DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    template = dict(load_template(ROOT / "genesis" / "bit-energy-case-2.json"))
    template["roles"] = [*dict.fromkeys([*template["roles"], "meter"])]  # type: ignore[misc]
    template["members"] = [*template["members"], {"name": "MT", "roles": ["meter"]}]  # type: ignore[misc]
    clock = {"minute_ms": 40, "deadline_minutes": 15, "correction_minutes": 900}
    day = {"name": "local", "account": "P3", "upstream": "EDC", "minute_ms": 40, "retail": "30"}
    gates = [{"kind": "intraday", "minutes": 15}]
    template["modules"] = {
        **template["modules"],  # type: ignore[dict-item]
        "meters": {**clock, "meters": [{"meter": "MT", "member": "P1"}]},
        "day": {"markets": [{**day, "feed_in": "10", "max_energy_kwh": "20", "gates": gates}]},
        "certificates": {"unit_kwh": 1, "period_intervals": 1, "coins": {"market": "local"}},
    }
    made = create_network(tmp_path_factory.mktemp("green") / "net", template, validators=1)
    try:
        start_nodes(made.nodes)
        yield made
    finally:
        stop_nodes(made.nodes)


@pytest.fixture
def ask(network: LocalNetwork, capsys: pytest.CaptureFixture[str]) -> Ask:
    def call(*arguments: str, status: int = 0) -> dict:
        found = run(["--home", str(network.home), *arguments, "--json"])
        shown = capsys.readouterr()
        assert found == status, shown
        return json.loads(shown.out)

    return call


def produce(network: LocalNetwork, energy_milli_wh: int) -> None:
    """Have the meter read nothing at the end of one interval, and energy at that of the next."""
    session = Session(home=network.home, as_json=True)
    first = session.client().status()["time_ms"] // INTERVAL_MS + 2  # type: ignore[operator]
    for place, register in enumerate((0, energy_milli_wh)):
        wait = (first + place + 1) * INTERVAL_MS / 1_000 - time.time()
        time.sleep(max(0.0, wait) + 0.1)
        call = submit_registers(first + place, [(register, 0)])
        session.send(session.open_signer("MT"), [call])


def test_from_registers_to_a_retirement(network: LocalNetwork, ask: Ask) -> None:
    register = ("certificate", "register", "roof", "--member", "P1", "--capacity-w", "40000")
    ask(*register, "--technology", "solar", "--from", "operator")
    (roof,) = ask("certificate", "plants")["plants"]
    assert (roof["plant"], roof["owner_name"], roof["issued"]) == ("roof", "P1", 0)
    produce(network, int(3.5 * KWH))
    deadline = time.monotonic() + DEADLINE_S
    while not (found := ask("certificate", "list", "--owner", "P1")["certificates"]):
        assert time.monotonic() < deadline, "no certificate came"
        time.sleep(0.1)
    assert [(lot["lot"], lot["count"], lot["plant"]) for lot in found] == [(1, 3, "roof")]
    given = ask("certificate", "transfer", "1", "--to", "P2", "--count", "1", "--from", "P1")
    assert (given["lot"], given["count"]) == (2, 1)
    retired = ask(
        "certificate", "retire", "1", "--for", "C1", "--purpose", "tea", "--from", "P1"
    )  # fmt: skip
    (event,) = [each for each in retired["receipt"]["events"] if each["event"] == "retire"]
    assert (event["fields"]["count"], event["fields"]["purpose"]) == (2, "tea")
    again = ask("certificate", "retire", "1", "--named", "Bakery", "--from", "P1", status=1)
    assert again["error"]["code"] == "unknown_lot"
    ask("certificate", "retire", "2", "--from", "P2", status=2)
    ask("certificate", "enrol", "--from", "C1")
    assert ask("certificate", "coins", "C1")["balance_micro"] == 0
    ask("certificate", "leave", "--from", "C1")
    ask("certificate", "close", "roof", "--from", "operator")
    assert ask("certificate", "plants")["plants"][0]["end"] > 0


def test_a_member_joins_the_day_market_and_leaves_it(ask: Ask) -> None:
    joined = ask("market", "join", "local", "--from", "C1")
    (event,) = joined["receipt"]["events"]
    assert (event["event"], event["fields"]["market"]) == ("join", "local")
    assert ask("market", "join", "local", "--from", "C1", status=1)["error"]["code"] == "joined"
    left = ask("market", "leave", "local", "--from", "C1")
    (event,) = left["receipt"]["events"]
    assert (event["event"], event["fields"]["member_name"]) == ("leave", "C1")
    for command, code in (("leave", "leaving"), ("join", "leaving")):
        refused = ask("market", command, "local", "--from", "C1", status=1)
        assert refused["error"]["code"] == code
    assert ask("market", "leave", "local", "--from", "P2", status=1)["error"]["code"] == (
        "not_joined"
    )
    unknown = ask("market", "join", "elsewhere", "--from", "P2", status=1)
    assert unknown["error"]["code"] == "unknown_market"


def test_people_get_tables(network: LocalNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("certificate list", "certificate plants"):
        assert run(["--home", str(network.home), *command.split()]) == 0
        shown = capsys.readouterr()
        assert shown.out and not shown.err
