"""A small world with a dispatch area: two buses, a line that binds, and everybody's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_codec import encode_certificate
from market.dispatch_commitments import commitment_of
from market.dispatch_module import DispatchModule
from market.dispatch_problem import DispatchProblem
from market.dispatch_records import Round, decode_money
from market.dispatch_results import read_problem_bytes, read_results, read_round
from market.dispatch_rounds import DISPATCH_ACCOUNT
from tests.market.support import ROLES, Person, World
from vm.primitives.codec import encode_integer
from vm.primitives.errors import CallError
from vm.runtime import Runtime
from vm.system.accounts import AccountsModule, load_supply, read_account

MILLI = 10**17
"""1e-24 $/Wh in a tenth of a $/MWh."""
PEOPLE = (
    Person("operator", ("operator",), balance="1000"),
    Person("EDC", ("edc", "dso"), balance="0"),
    Person("wind", ("prosumer",), "A"),
    Person("gas", ("prosumer",), "B"),
    Person("house", ("consumer",), "B"),
    Person("board", ("board",), balance="30"),
)
NETWORK = {
    "slack": "A",
    "buses": ["A", "B"],
    "lines": [
        {"name": "A-B", "from": "A", "to": "B", "rating_w": 600, "reactance_nano_ohm": 1_000}
    ],
}
MARKET = {"name": "grid", "edc": "EDC", "network": NETWORK, "min_price": "0"}
AREA: dict[str, object] = {
    "name": "grid",
    "market": "grid",
    "interval_minutes": 60,
    "intervals": 1,
    "deadline_ms": 10_000,
    "fallback": "last_prices",
    "tokens_per_dollar": "100",
    "reward": "2",
    "bond": "5",
    "settles": True,
    "members_register": True,
    "pot": "3",
}
UNITS: tuple[tuple[str, str, str, tuple[int, int, int, int]], ...] = (
    ("wind", "A", "generator", (2 * MILLI, 100 * MILLI, 0, 1_000)),
    ("gas", "B", "generator", (0, 3_000 * MILLI, 0, 1_000)),
    ("house", "B", "load", (0, 9_000 * MILLI, -900, -300)),
)
OPTIMUM = IntervalResult((1_300 * MILLI, 3_000 * MILLI), (600, 300, -900))
"""The line is full, and each side has its marginal unit's price."""


class DispatchWorld(World):
    """A world whose members trade nothing, but have units in a dispatch area."""

    def __init__(
        self,
        people: Sequence[Person] = PEOPLE,
        *,
        network: Mapping[str, object] = NETWORK,
        **terms: object,
    ) -> None:
        super().__init__(people, {"markets": [MARKET | {"network": network}]})
        self.dispatch = DispatchModule(ROLES)
        self.runtime = Runtime([AccountsModule(), self.members, self.market, self.dispatch], ROLES)
        ctx = self.context()
        ctx.module = "dispatch"
        self.dispatch.init_genesis(ctx, {"areas": [AREA | terms]})

    def act(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="dispatch")

    def refusal(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="dispatch")

    def register(self, owner: str, bus: str, kind: str, *bids: tuple[int, int, int, int]) -> int:
        return int(
            self.act(owner, "register", "grid", owner, self.ids[owner], bus, kind, wire(bids), ())
        )

    def register_all(self) -> None:
        for owner, bus, kind, bid in UNITS:
            self.register(owner, bus, kind, bid)

    def open(self, first_interval: int = 0) -> Round:
        return self.round(self.act("operator", "open", "grid", first_interval))

    def submit(self, who: str, found: Round, *results: IntervalResult) -> Any:
        data = encode_certificate(Certificate(results or (OPTIMUM,) * found.intervals))
        return self.send(who, found.number, found.problem_hash, data)

    def send(self, who: str, number: int, problem_hash: bytes, data: bytes) -> Any:
        """Commit to a certificate's bytes and submit them a block later."""
        try:
            self.act(who, "commit", number, commitment_of(self.ids[who], number, data))
        except CallError:
            pass  # the submission says it again
        self.height += 1
        return self.act(who, "submit", number, problem_hash, data)

    def round(self, number: int) -> Round:
        found = read_round(self.overlay, number)
        assert found is not None
        return found

    def problem(self, number: int) -> DispatchProblem:
        from market.dispatch_codec import decode_problem

        return decode_problem(read_problem_bytes(self.overlay, self.round(number)))

    def prices(self, number: int) -> list[list[int]]:
        return [
            [int.from_bytes(price, "big", signed=True) for price in result.prices]
            for result in read_results(self.overlay, self.round(number))
        ]

    def pot(self) -> tuple[int, int]:
        """Return pot and congestion account."""
        money = decode_money(self.overlay.get(b"dm\0\0"))
        return money.pot_micro, money.congestion_micro

    def money(self, name: str) -> int:
        return self.account(name).money_micro

    def told(self, name: str) -> list[tuple[Any, ...]]:
        return [
            values for module, event, values in self.events if (module, event) == ("dispatch", name)
        ]

    def assert_conserved(self) -> None:
        """All money there is lies in accounts, and dispatch's account is its pot and the rest."""
        held = read_account(self.overlay, DISPATCH_ACCOUNT)
        assert held is not None
        assert held.money_micro == sum(self.pot())
        total = sum(self.account(name).money_micro for name in self.ids) + held.money_micro
        assert total == load_supply(self.context())[0]
        assert min(self.pot()) >= 0


def wire(bids: Sequence[tuple[int, int, int, int]]) -> tuple[tuple[bytes, bytes, int, int], ...]:
    return tuple((encode_integer(a), encode_integer(b), lo, hi) for a, b, lo, hi in bids)


def changed(**fields: object) -> IntervalResult:
    """The optimum with some of its fields replaced."""
    return replace(OPTIMUM, **fields)  # type: ignore[arg-type]
