"""Call auctions on the chain: open and sealed books from the first order to the clearing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from market.auction.feeder import MAX_BUSES
from market.auction.module import AuctionModule
from market.auction.orders import BUY, SELL
from market.auction.records import (
    MECHANISM_NAMES,
    AuctionConfig,
    AuctionMember,
    AuctionOrder,
    Book,
    encode_leaf,
    read_order,
)
from market.auction.rounds import (
    MAX_ORDERS,
    MAX_ORDERS_OF_ZONES,
    MAX_ORDERS_PER_MEMBER,
    MAX_STEPS_OF_ORDER,
    commitment_of,
)
from market.auction.section import read_section
from tests.market.support import Person, World, kwh, tokens
from vm.primitives.errors import CallError, InvalidGenesis
from vm.system.accounts import SUSPENDED

MINUTE = 60_000
COMMON = {"account": "O", "max_price": "100", "max_energy_kwh": "100"}
SECTION = {
    "auctions": [
        {**COMMON, "name": "open", "sealed": False, "gate_minutes": 15},
        {**COMMON, "name": "sealed", "mechanism": "huang", "deposit": "2"},
        {**COMMON, "name": "uniform", "deposit": "2", "min_price": "1"},
        {**COMMON, "name": "midpoint", "mechanism": "midpoint", "sealed": False},
        {**COMMON, "name": "pay_as_bid", "mechanism": "pay_as_bid", "sealed": False},
        {**COMMON, "name": "zones", "sealed": False, "market": "feeder"},
    ]
}
FEEDER = {
    "slack": "n1",
    "buses": ["n1", "n2"],
    "lines": [{"name": "L", "from": "n2", "to": "n1", "rating_w": 4_000}],
}
MARKETS = {"markets": [{"name": "feeder", "network": FEEDER}, {"name": "bare"}]}
NAMES = ("A", "B", "C", "D", "E")
PEOPLE = [
    Person("O", roles=("operator", "dso")),
    *(Person(name, bus=bus) for name, bus in zip(NAMES, ("n1", "n1", "n2", "n2", ""), strict=True)),
]
Steps = tuple[tuple[int, int], ...]


def step(energy: str, price: str) -> Steps:
    """Return one step."""
    return ((kwh(energy), tokens(price)),)


class Bidding(World):
    """A world with auctions; `interval` is one that begins in two to two and a quarter hours."""

    def __init__(self, people: list[Person] = PEOPLE) -> None:
        super().__init__(people, MARKETS, extra=[(AuctionModule(), SECTION)])
        self.interval = self.time_ms // (15 * MINUTE) + 9
        self.start_ms = self.interval * 15 * MINUTE

    def ask(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="auction")

    def refused(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="auction")

    def before(self, minutes: int) -> None:
        """Go to so many minutes before the interval."""
        self.advance(self.start_ms - minutes * MINUTE - self.time_ms)

    def place(self, who: str, side: str, steps: Steps, auction: str = "open") -> int:
        number: int = self.ask(who, "place", auction, self.interval, side, steps)
        return number

    def seal(
        self, who: str, side: str, steps: Steps, *, auction: str = "sealed", cover: bool = True
    ) -> tuple[Any, ...]:
        """Commit with some cover; return the arguments that open it."""
        salt = who.encode().rjust(32, b"-")
        which = BUY if side == "buy" else SELL
        digest = commitment_of(auction, self.interval, self.ids[who], which, steps, salt)
        money = tokens("300") if cover else 1
        number = self.ask(who, "commit", auction, self.interval, digest, money, kwh("9"))
        return auction, self.interval, number, side, steps, salt

    def holdings(self, name: str) -> tuple[int, int]:
        account = self.account(name)
        assert account.money_reserved_micro == account.energy_reserved_milli_wh == 0
        return account.money_micro - tokens("1000"), account.energy_milli_wh - kwh("50")

    def conserve(self) -> None:
        accounts = [self.account(name) for name in self.ids]
        money = sum(a.money_micro + a.money_reserved_micro for a in accounts)
        energy = sum(a.energy_milli_wh + a.energy_reserved_milli_wh for a in accounts)
        assert money == len(accounts) * tokens("1000")
        assert energy == len(accounts) * kwh("50")

    def told(self, name: str) -> list[tuple[Any, ...]]:
        own = ("auction", name)
        return [values for module, event, values in self.events if (module, event) == own]

    def left(self) -> list[bytes]:
        """Return the keys of books, orders and members; auctions and results stay."""
        keys = {**self.state.values, **self.overlay.changes}
        live = [key for key in keys if self.overlay.get(key) is not None]
        return [key for key in live if key[:2] in (b"Xb", b"Xo", b"Xm", b"iX")]


def test_an_open_book_clears_at_its_gate_by_itself() -> None:
    world = Bidding()
    world.place("A", "buy", ((kwh("2"), tokens("30")), (kwh("2"), tokens("20"))))
    world.place("B", "sell", ((kwh("1"), tokens("10")), (kwh("2"), tokens("18"))))
    assert world.account("A").money_reserved_micro == tokens("100")
    assert world.account("B").energy_reserved_milli_wh == kwh("3")
    world.before(16)
    assert not world.told("clear")
    world.before(15)
    # Three kWh; A waits for one more at 20.
    assert world.told("clear")[0][2:6] == (kwh("3"), 2 * tokens("20"), 2 * tokens("20"), 0)
    assert world.holdings("A") == (-tokens("60"), kwh("3"))
    assert world.holdings("B") == (tokens("60"), -kwh("3"))
    assert world.told("bought")[0][-1] == kwh("1"), "the residual"
    assert world.left() == []


def test_a_sealed_round_of_huang_with_a_forfeit() -> None:
    world = Bidding()
    openings = {
        "A": world.seal("A", "buy", step("2", "10")),
        "B": world.seal("B", "buy", step("1", "8")),
        "C": world.seal("C", "sell", step("2", "1")),
        "D": world.seal("D", "sell", step("1", "3")),
    }
    world.seal("E", "buy", step("9", "99"))
    assert world.account("A").money_reserved_micro == tokens("302")
    world.before(60)
    for name, arguments in openings.items():
        world.ask(name, "open", *arguments)
    assert world.account("A").money_reserved_micro == tokens("20"), "cover and deposit are back"
    assert world.account("C").energy_reserved_milli_wh == kwh("2")
    world.before(45)
    # Two kWh from C to A; B and D set the prices 8 and 3. E did not open.
    assert world.holdings("A") == (-tokens("16"), kwh("2"))
    assert world.holdings("C") == (tokens("6"), -kwh("2"))
    assert world.holdings("B") == world.holdings("D") == (0, 0)
    assert world.holdings("E") == (-tokens("2"), 0)
    assert world.holdings("O") == (tokens("12"), 0)
    assert world.left() == []
    world.conserve()


def test_who_is_suspended_before_it_can_open_keeps_its_deposit() -> None:
    world = Bidding()
    world.seal("A", "buy", step("2", "10"))
    world.seal("B", "buy", step("1", "8"))
    world.before(60)
    world.set_status("A", SUSPENDED)
    world.before(45)
    assert [values[3] for values in world.told("release")] == [world.ids["A"]]
    assert [values[3] for values in world.told("forfeit")] == [world.ids["B"]]
    assert world.holdings("A") == (0, 0)
    assert world.holdings("B") == (-tokens("2"), 0)
    assert world.account("A").money_reserved_micro == 0
    assert world.left() == []
    world.conserve()


def test_the_seed_of_a_round_depends_on_every_opening_and_forfeit() -> None:
    seeds = []
    for forfeits in ((), ("A",), ("B",)):
        world = Bidding()
        openings = {name: world.seal(name, "buy", step("1", "5")) for name in ("A", "B")}
        world.before(60)
        for name, arguments in openings.items():
            if name not in forfeits:
                world.ask(name, "open", *arguments)
        world.before(45)
        seeds.append(world.told("clear")[0][-1])
    assert len(dict.fromkeys(seeds)) == 3


def test_the_order_of_openings_does_not_move_the_seed() -> None:
    seeds = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        world = Bidding()
        openings = [world.seal("A", "buy", step("1", price)) for price in ("5", "6", "7")]
        world.before(60)
        for place in order:
            world.ask("A", "open", *openings[place])
        world.before(45)
        seeds.append(world.told("clear")[0][-1])
    assert len(dict.fromkeys(seeds)) == 1


def test_orders_are_cancelled_until_the_gate() -> None:
    world = Bidding()
    number = world.place("A", "buy", step("1", "5"))
    assert world.refused("B", "cancel", "open", world.interval, number) == "not_your_order"
    world.ask("A", "cancel", "open", world.interval, number)
    _, _, sealed, *_ = world.seal("A", "sell", step("1", "5"))
    world.ask("A", "cancel", "sealed", world.interval, sealed)
    assert world.holdings("A") == (0, 0)
    assert world.refused("A", "cancel", "open", world.interval, number) == "unknown_order"
    again = world.place("A", "buy", step("1", "5"))
    world.before(15)
    assert world.refused("A", "cancel", "open", world.interval, again) == "gate_closed"
    assert [values[2] for values in world.told("clear")] == [0, 0], (
        "both books, though one is empty"
    )
    assert world.left() == []


def test_the_other_mechanisms() -> None:
    for auction, price in (("midpoint", "8"), ("pay_as_bid", "10")):
        world = Bidding()
        world.place("A", "buy", step("1", "10"), auction)
        world.place("B", "sell", step("1", "6"), auction)
        world.before(15)
        assert world.holdings("A") == (-tokens(price), kwh("1")), auction
        assert world.holdings("B") == (tokens(price), -kwh("1"))


def test_what_an_open_auction_refuses() -> None:
    world = Bidding()
    place, when = ("A", "place", "open"), world.interval
    assert world.refused("A", "place", "none", when, "buy", step("1", "5")) == "unknown_auction"
    assert world.refused("A", "place", "sealed", when, "buy", step("1", "5")) == "sealed"
    assert world.refused("O", "place", "open", when, "buy", step("1", "5")) == "wrong_role"
    for interval in (0, when + 10**6, 2**63 - 1):
        assert world.refused(*place, interval, "buy", step("1", "5")) == "wrong_interval"
    assert world.refused(*place, when - 9, "buy", step("1", "5")) == "gate_closed"
    bad: list[tuple[Any, str]] = [
        ((), "invalid_arguments"),
        (((1,),), "invalid_arguments"),
        (((1, -1),), "invalid_arguments"),
        (((1, 1),) * (MAX_STEPS_OF_ORDER + 1), "invalid_arguments"),
        (((0, 1),), "invalid_energy"),
        (((1, 1), (1, 2)), "steps_out_of_order"),
        (((1, 1), (1, 1)), "steps_out_of_order"),
        (step("1", "101"), "price_out_of_range"),
        (step("101", "1"), "too_much_energy"),
        (step("50", "21"), "insufficient_money"),
    ]
    for steps, code in bad:
        assert world.refused(*place, when, "buy", steps) == code, steps
    assert world.refused(*place, when, "sell", step("51", "1")) == "insufficient_energy"
    assert world.refused(*place, when, "both", step("1", "1")) == "invalid_arguments"
    for _ in range(MAX_ORDERS_PER_MEMBER):
        world.place("A", "buy", step("1", "5"))
    assert world.refused(*place, when, "buy", step("1", "5")) == "too_many_orders"


def test_what_a_sealed_auction_refuses() -> None:
    world = Bidding()
    when = world.interval
    assert world.refused("A", "commit", "open", when, bytes(32), 0, 0) == "not_sealed"
    assert world.refused("A", "commit", "sealed", when, bytes(31), 0, 0) == "invalid_arguments"
    assert (
        world.refused("A", "commit", "sealed", when, bytes(32), tokens("999"), 0)
        == "insufficient_money"
    ), "the deposit comes beside the cover"
    opening = world.seal("A", "buy", step("2", "10"))
    bare = world.seal("B", "buy", step("2", "10"), cover=False)
    other = world.seal("A", "sell", step("2", "10"))
    low = world.seal("A", "buy", step("1", "0.5"), auction="uniform")
    assert world.refused("A", "open", *opening) == "wrong_time"
    world.before(60)
    assert world.refused("A", "commit", "sealed", when, bytes(32), 0, 0) == "gate_closed"
    assert world.refused("B", "open", *opening) == "not_your_order"
    assert world.refused("A", "open", *opening[:-1], bytes(32)) == "wrong_opening"
    assert (
        world.refused("A", "open", *opening[:-2], step("2", "11"), opening[-1]) == "wrong_opening"
    )
    assert world.refused("B", "open", *bare) == "not_covered"
    assert world.refused("A", "open", *low) == "price_out_of_range"
    world.ask("A", "open", *opening)
    assert world.refused("A", "open", *opening) == "already_open"
    assert world.refused("A", "open", *other) == "both_sides"
    world.before(45)
    assert world.refused("A", "open", *opening) == "unknown_order"
    assert len(world.told("forfeit")) == 3
    world.conserve()


def test_a_commitment_of_another_is_of_no_use() -> None:
    """Who copies a commitment cannot open it: the account is part of what it hides."""
    world = Bidding()
    opening = world.seal("A", "buy", step("2", "10"))
    order = read_order(
        world.overlay, (1).to_bytes(2, "big") + world.interval.to_bytes(8, "big"), opening[2]
    )
    assert order is not None
    copied = world.ask("B", "commit", "sealed", world.interval, order.commitment, tokens("400"), 0)
    world.before(60)
    assert world.refused("B", "open", *opening[:2], copied, *opening[3:]) == "wrong_opening"


def test_a_thousand_orders_clear_in_one_step() -> None:
    names = [f"P{n}" for n in range(MAX_ORDERS)]
    world = Bidding([PEOPLE[0], *(Person(name) for name in (*names, "late"))])
    rng = random.Random(1)
    for place, name in enumerate(names):
        prices = sorted(rng.sample(range(1, 10**8), MAX_STEPS_OF_ORDER), reverse=place % 2 == 0)
        steps = tuple((rng.randrange(1, 10**5), price) for price in prices)
        world.place(name, ("buy", "sell")[place % 2], steps)
    assert (
        world.refused("late", "place", "open", world.interval, "buy", step("1", "1")) == "book_full"
    )
    world.before(15)
    assert len(world.told("bought")) + len(world.told("sold")) == MAX_ORDERS
    assert world.told("clear")[0][2] > 0
    world.conserve()
    for name in names:
        world.holdings(name)
    assert world.left() == []


def test_where_a_line_binds_an_auction_clears_by_zones() -> None:
    world = Bidding()
    assert (
        world.refused("E", "place", "zones", world.interval, "buy", step("1", "1"))
        == "not_connected"
    )
    world.place("C", "sell", step("3", "10"), "zones")
    world.place("D", "sell", step("1", "12"), "zones")
    world.place("A", "buy", step("4", "40"), "zones")
    world.place("B", "sell", step("5", "30"), "zones")
    world.before(15)
    # The line carries 1 kWh in a quarter of an hour: C sells it at 10, B the other three at 30.
    assert world.told("flow") == [("zones", world.interval, "L", kwh("1"))]
    assert world.told("price") == [
        ("zones", world.interval, "n1", 2 * tokens("30")),
        ("zones", world.interval, "n2", 2 * tokens("10")),
    ]
    assert world.holdings("A") == (-4 * tokens("30"), kwh("4"))
    assert world.holdings("C") == (tokens("10"), -kwh("1"))
    assert world.holdings("O") == (tokens("20"), 0), "the rent of the line"
    world.conserve()
    assert world.left() == []


def test_who_left_the_feeder_since_trades_nothing_and_gets_all_back() -> None:
    world = Bidding()
    world.place("C", "sell", step("1", "10"), "zones")
    world.place("A", "buy", step("1", "40"), "zones")
    world.call("O", "set_bus", world.ids["C"], "", module="members")
    world.before(15)
    assert world.holdings("A") == world.holdings("C") == (0, 0)


def test_the_ratings_are_those_at_the_clearing() -> None:
    world = Bidding()
    world.place("C", "sell", step("3", "10"), "zones")
    world.place("A", "buy", step("3", "40"), "zones")
    world.call("O", "set_line_rating", "feeder", "L", 8_000)
    world.before(15)
    assert world.told("flow")[0][-1] == kwh("2")


def test_a_large_book_over_a_large_feeder_clears_in_one_step() -> None:
    buses = [f"n{n}" for n in range(MAX_BUSES)]
    lines = [
        {"name": f"l{n}", "from": buses[n], "to": buses[n - 1], "rating_w": 40 * (MAX_BUSES - n)}
        for n in range(1, MAX_BUSES)
    ]
    market = {"name": "feeder", "network": {"slack": "n0", "buses": buses, "lines": lines}}
    names = [f"P{n}" for n in range(MAX_ORDERS_OF_ZONES)]
    people = [PEOPLE[0], *(Person(p, bus=buses[n % MAX_BUSES]) for n, p in enumerate(names))]
    world = Bidding.__new__(Bidding)
    World.__init__(world, people, {"markets": [market]}, extra=[(AuctionModule(), SECTION)])
    world.interval = world.time_ms // (15 * MINUTE) + 9
    world.start_ms = world.interval * 15 * MINUTE
    rng = random.Random(1)
    for place, name in enumerate(names):
        price = ((kwh("0.01") + place, rng.randrange(10**6, 10**8)),)
        world.place(name, ("buy", "sell")[place // MAX_BUSES % 2], price, "zones")
    world.before(15)
    assert len(world.told("price")) > MAX_BUSES // 2
    assert len(world.told("bought")) + len(world.told("sold")) == MAX_ORDERS_OF_ZONES
    world.conserve()
    assert world.left() == []


def test_without_a_section_there_are_no_auctions() -> None:
    world = World(PEOPLE, MARKETS, extra=[(AuctionModule(), {})])
    assert not [key for key in world.overlay.changes if key[:1] == b"X"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "unknown fields"),
        ({"name": "a b"}, "name"),
        ({"mechanism": "dice"}, "mechanism"),
        ({"sealed": 1}, "true or false"),
        ({"account": "nobody"}, "no member"),
        ({"interval_minutes": 20}, "interval_minutes"),
        ({"mechanism": "huang", "sealed": False}, "sealed"),
        ({"mechanism": "pay_as_bid"}, "arrival"),
        ({"opening_minutes": 0}, "opening_minutes"),
        ({"sealed": False, "opening_minutes": 5}, "opening_minutes"),
        ({"opening_minutes": 61}, "begun"),
        ({"min_price": "101"}, "above"),
        ({"max_energy_kwh": "0"}, "above 0"),
        ({"deposit": 2}, "number as text"),
        ({"deposit": "x"}, "deposit"),
        ({"minute_ms": 0}, "minute_ms"),
        ({"market": 1}, "is a name"),
        ({"market": "bare"}, "with a radial network"),
        ({"market": "feeder", "mechanism": "huang"}, "by zones"),
    ],
)
def test_an_auction_that_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        section = {"auctions": [{**COMMON, "name": "a", **change}]}
        read_section(section, {"O": b"o" * 20}.get, lambda name: 2 if name == "feeder" else 0)


def test_a_section_that_is_refused() -> None:
    for section, words in (
        ({"auction": []}, "unknown fields"),
        ({"auctions": {}}, "list"),
        ({"auctions": [1]}, "object"),
        ({"auctions": [{**COMMON, "name": "a"}] * 2}, "same name"),
        ({"auctions": [{}] * 101}, "too many"),
    ):
        with pytest.raises(InvalidGenesis, match=words):
            read_section(section, {"O": b"o" * 20}.get, lambda name: 0)


@pytest.mark.parametrize("seed", range(25))
def test_money_and_energy_are_conserved_whatever_is_called(seed: int) -> None:
    rng = random.Random(seed)
    world = Bidding()
    auctions = [config["name"] for config in SECTION["auctions"]]
    openings: list[tuple[str, tuple[Any, ...]]] = []
    numbers: list[tuple[str, str, int]] = []
    for _ in range(120):
        who, side, auction = rng.choice(NAMES), rng.choice(("buy", "sell")), rng.choice(auctions)
        steps = ((rng.randrange(1, kwh("3")), rng.randrange(1, tokens("50"))),)
        try:
            match rng.choice(("order", "order", "cancel", "open", "wait")):
                case "order" if auction in ("sealed", "uniform"):
                    openings.append((who, world.seal(who, side, steps, auction=auction)))
                    numbers.append((who, auction, openings[-1][1][2]))
                case "order":
                    numbers.append((who, auction, world.place(who, side, steps, auction)))
                case "cancel" if numbers:
                    name, which, number = rng.choice(numbers)
                    world.ask(name, "cancel", which, world.interval, number)
                case "open" if openings:
                    name, arguments = rng.choice(openings)
                    world.ask(name, "open", *arguments)
                case "wait":
                    world.advance(rng.randrange(4 * MINUTE))
        except CallError:
            continue
        world.conserve()
        assert world.rebuilt_index() == world.index()
    world.before(0)
    world.conserve()
    for name in world.ids:
        world.holdings(name)
    assert world.left() == []


def test_leaves_fit_a_proof() -> None:
    most = 2**63 - 1
    steps = ((most, most),) * MAX_STEPS_OF_ORDER
    for leaf in (
        AuctionConfig(99, "n" * 32, 3, 1, True, 60_000, 60, *[most] * 6, b"a" * 20, "m" * 32),
        Book(most, b"s" * 32),
        AuctionOrder(b"a" * 20, b"", most, most, most, 1, steps),
        AuctionOrder(b"a" * 20, b"c" * 32, most, most, most, 1, ()),
        AuctionMember(most, 3),
    ):
        assert len(encode_leaf(leaf)) <= 512


def test_the_page_lists_the_methods() -> None:
    page = (Path(__file__).parents[3] / "docs" / "auctions.md").read_text(encoding="utf-8")
    for name, found in AuctionModule().methods().items():
        names = ", ".join(argument.name for argument in found.declaration.arguments)
        roles = ", ".join(found.declaration.roles)
        assert f"| `{name}` | {names} | {roles} |".replace("|  |", "| |") in page, name
    assert all(f"`{name}`" in page or f"clear_{name}" in page for name in MECHANISM_NAMES)
