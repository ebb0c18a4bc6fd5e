"""The demo: the published cases of Bit-Energy, traded on fresh networks of four validators.

Each case begins with the balances of its table, so each gets a network of its own. What every
validator then says is compared with the published figures, digit by digit.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Protocol

from tools.amounts import format_kwh, format_tokens, parse_energy, parse_price, parse_tokens
from tools.calls import buy, post_offer
from tools.client import NodeClient, integer_field, list_field, object_field, text_field
from tools.demo_network import start_network
from tools.errors import EXIT_FAILED, EXIT_OK, Json, NodeTimeout
from tools.output import note, print_json, print_lines, print_table, waiting
from tools.session import Session
from tools.testnet import LocalNetwork, create_network, stop_nodes
from vm.runtime import Call

MARKET: Final = "bit-energy"
VALIDATORS: Final = 4
SPOT: Final = 0
DEADLINE_S: Final = 30.0
CASE_FILE: Final = "bit_energy.json"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a table says of one member; amounts as decimal text."""

    balance: str
    """Money, cents."""
    energy: str
    """Energy, kWh."""
    offer: str | None
    """Energy still on offer, kWh."""

    def as_json(self) -> dict[str, str | None]:
        """Return the figures as the demo prints them."""
        return {"balance": self.balance, "energy": self.energy, "offer": self.offer}


@dataclass(frozen=True, slots=True)
class ValidatorState:
    """Where a validator stands after a case."""

    name: str
    """Its member's name."""
    height: int
    """A final height."""
    state_root: str
    """Root of its state there, in hexadecimal digits."""
    accounts: Mapping[str, Figures]
    """What it says of each member of the table."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, traded."""

    number: int
    """Which of the published cases."""
    before: Mapping[str, Figures]
    """The members before the purchase."""
    published: Mapping[str, Figures]
    """The table's figures after it."""
    validators: tuple[ValidatorState, ...]
    """What each validator says after it."""

    @property
    def ok(self) -> bool:
        """Whether all validators agree with the table and with one another."""
        roots = {(state.height, state.state_root) for state in self.validators}
        agree = all(state.accounts == self.published for state in self.validators)
        return agree and len(roots) == 1 and len(self.validators) == VALIDATORS


class DemoMarket(Protocol):
    """What a case is traded on: the built-in market, or a contract."""

    def prepare_genesis(self, template: dict[str, object]) -> dict[str, object]:
        """Return the genesis of a case as this market needs it."""

    def open(self, session: Session, template: Json) -> None:
        """Bring the market into being, where genesis does not."""

    def post(self, energy_milli_wh: int, price_micro_per_kwh: int) -> Call:
        """Return the call that offers energy."""

    def buy(self, energy_milli_wh: int, max_price_micro_per_kwh: int) -> Call:
        """Return the call that buys energy."""

    def offered(self, client: NodeClient) -> dict[str, int]:
        """Return what each member has on offer, milliwatt-hours."""

    def holds_energy(self) -> bool:
        """Tell whether energy on offer lies with the market, not in its seller's account."""


class BuiltInMarket:
    """The market that every chain has."""

    def prepare_genesis(self, template: dict[str, object]) -> dict[str, object]:
        """Return the genesis as it is."""
        return template

    def open(self, session: Session, template: Json) -> None:
        """Do nothing: genesis has the market."""

    def post(self, energy_milli_wh: int, price_micro_per_kwh: int) -> Call:
        """Return the call that offers energy."""
        return post_offer(MARKET, SPOT, energy_milli_wh, price_micro_per_kwh)

    def buy(self, energy_milli_wh: int, max_price_micro_per_kwh: int) -> Call:
        """Return the call that buys energy."""
        return buy(MARKET, SPOT, energy_milli_wh, max_price_micro_per_kwh)

    def offered(self, client: NodeClient) -> dict[str, int]:
        """Return what each member has on offer, milliwatt-hours."""
        found: dict[str, int] = {}
        for offer in list_field(client.get(f"/markets/{MARKET}/offers"), "offers"):
            seller = text_field(offer, "seller_name")
            found[seller] = found.get(seller, 0) + integer_field(offer, "energy_milli_wh")
        return found

    def holds_energy(self) -> bool:
        """Tell that energy on offer stays in its seller's account, set aside."""
        return False


def run_demo(
    cases: Sequence[int],
    *,
    engine: str,
    leave: bool,
    as_json: bool,
    market: DemoMarket | None = None,
) -> int:
    """Trade `cases` and print the tables; return 0 only if every figure agrees everywhere.

    Unless `leave`, the network of the last case stays up. Without `market` on the built-in one.
    """
    place = market or BuiltInMarket()
    published = json.loads(
        files("genesis").joinpath("cases", CASE_FILE).read_text(encoding="utf-8")
    )
    results: list[CaseResult] = []
    for number in cases:
        keep = not leave and number == cases[-1]
        results.append(_run_case(number, published, engine, place, keep=keep, quiet=as_json))
        if not as_json:
            _print_case(results[-1], published)
    ok = all(result.ok for result in results)
    if as_json:
        print_json(_as_json(results, ok=ok))
    else:
        words = "every figure agrees on every validator" if ok else "figures differ"
        count = "1 case" if len(results) == 1 else f"{len(results)} cases"
        print_lines("", f"{count}, {VALIDATORS} validators each: {words}.")
    return EXIT_OK if ok else EXIT_FAILED


def _run_case(
    number: int, published: Json, engine: str, market: DemoMarket, *, keep: bool, quiet: bool
) -> CaseResult:
    folder = Path(tempfile.mkdtemp(prefix=f"bitenergy-demo-{number}-"))
    template = json.loads(
        files("genesis").joinpath(f"bit-energy-case-{number}.json").read_text(encoding="utf-8")
    )
    with waiting(f"case {number}: four validators start", quiet=quiet):
        try:
            document = market.prepare_genesis(template)
            network = start_network(
                lambda: create_network(folder / "network", document, engine=engine)
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done = False
        try:
            result = _trade(number, published, network, market, template)
            done = True
        finally:
            if not (keep and done):
                stop_nodes(network.nodes)
    if keep:
        note(f"The network stays up: {network.nodes[0].api_url}/api/v1/status")
        note(f"Trade on it:  bitenergy --home {network.home} market book")
        note(f"Stop it with: bitenergy testnet down --dir {network.folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _trade(
    number: int, published: Json, network: LocalNetwork, market: DemoMarket, template: Json
) -> CaseResult:
    case = next(found for found in list_field(published, "cases") if found.get("case") == number)
    session = Session(network.home, timeout_s=DEADLINE_S, as_json=True)
    market.open(session, template)
    for offer in list_field(published, "offers"):
        energy = parse_energy(text_field(offer, "energy") + "kWh")
        price = parse_price(text_field(offer, "price"))
        _send(session, text_field(offer, "seller"), market.post(energy, price))
    names = sorted(object_field(published, "accounts"))
    before = _figures(session.client(), names, market)
    order = object_field(case, "buy")
    energy = parse_energy(text_field(order, "energy") + "kWh")
    limit = parse_price(text_field(order, "max_price"))
    _send(session, text_field(order, "buyer"), market.buy(energy, limit))
    session.client().close()
    states = _settled_states(network, names, market)
    return CaseResult(number, before, _published_figures(case), states)


def _send(session: Session, name: str, call: Call) -> None:
    session.send(session.open_signer(name), [call])


def _settled_states(
    network: LocalNetwork, names: Sequence[str], market: DemoMarket
) -> tuple[ValidatorState, ...]:
    """Return what each validator says of one height once all have reached it."""
    clients = [NodeClient(node.api_url, genesis=network.genesis) for node in network.nodes]
    try:
        height = max(integer_field(client.status(), "final_height") for client in clients)
        states: list[ValidatorState] = []
        for node, client in zip(network.nodes, clients, strict=True):
            _wait_for(client, height)
            header = object_field(client.get(f"/blocks/{height}"), "header")
            states.append(
                ValidatorState(
                    node.name,
                    height,
                    text_field(header, "state_root"),
                    _figures(client, names, market),
                )
            )
        return tuple(states)
    finally:
        for client in clients:
            client.close()


def _wait_for(client: NodeClient, height: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while integer_field(status := client.status(), "final_height") < height:
        if time.monotonic() > deadline:
            raise NodeTimeout(f"{client.url} did not reach height {height}", actual=status)
        time.sleep(0.02)


def _figures(client: NodeClient, names: Sequence[str], market: DemoMarket) -> dict[str, Figures]:
    offered = market.offered(client)
    found: dict[str, Figures] = {}
    for name in names:
        account = client.account(name)
        money = integer_field(account, "money_micro")
        money += integer_field(account, "money_reserved_micro")
        energy = integer_field(account, "energy_milli_wh")
        energy += integer_field(account, "energy_reserved_milli_wh")
        if market.holds_energy():
            energy += offered.get(name, 0)
        offer_text = format_kwh(offered[name]) if name in offered else None
        found[name] = Figures(format_tokens(money), format_kwh(energy), offer_text)
    return found


def _published_figures(case: Json) -> dict[str, Figures]:
    """Return a case's table; its figures are brought to the form in which ours are printed."""
    return {
        name: Figures(
            format_tokens(parse_tokens(text_field(row, "balance"))),
            format_kwh(parse_energy(text_field(row, "energy") + "kWh")),
            None
            if row.get("offer") is None
            else format_kwh(parse_energy(text_field(row, "offer") + "kWh")),
        )
        for name, row in _rows(object_field(case, "after"))
    }


def _rows(table: Json) -> list[tuple[str, Json]]:
    return [(name, object_field(table, name)) for name in sorted(table)]


def _print_case(result: CaseResult, published: Json) -> None:
    case = next(
        found for found in list_field(published, "cases") if found.get("case") == result.number
    )
    rows = [
        [
            name,
            result.before[name].balance,
            state.balance,
            table.balance,
            result.before[name].energy,
            state.energy,
            table.energy,
            state.offer or "-",
            table.offer or "-",
            "yes" if all(each.accounts[name] == table for each in result.validators) else "NO",
        ]
        for name, table in result.published.items()
        for state in [result.validators[0].accounts[name]]
    ]
    order = object_field(case, "buy")
    print_table(
        f"Case {result.number}: {order['buyer']} buys {order['energy']} kWh at most at "
        f"{order['max_price']}, line policy {case['line_policy']}",
        [
            "member",
            ">cents before",
            ">after",
            ">published",
            ">kWh before",
            ">after",
            ">published",
            ">on offer",
            ">published",
            "agrees on all",
        ],
        rows,
    )
    print_lines(
        *(
            f"{state.name}  height {state.height}  state {state.state_root}"
            for state in result.validators
        ),
        "",
    )


def _as_json(results: Sequence[CaseResult], *, ok: bool) -> dict[str, object]:
    def states(result: CaseResult) -> list[dict[str, object]]:
        return [
            {"name": state.name, "height": state.height, "state_root": state.state_root}
            for state in result.validators
        ]

    return {
        "ok": ok,
        "cases": [
            {
                "case": result.number,
                "ok": result.ok,
                "accounts": {
                    name: figures.as_json()
                    for name, figures in result.validators[0].accounts.items()
                },
                "validators": states(result),
            }
            for result in results
        ],
        "validators": states(results[-1]),
    }
