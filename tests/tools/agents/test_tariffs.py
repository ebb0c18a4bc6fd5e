"""Agents keep to the tariffs of the interval that they bid for, also where a vote changes them."""

from __future__ import annotations

from random import Random

from market.auction.orders import Step
from market.auction.records import UNIFORM
from market.day.dates import Zone
from market.day.gates import INTRADAY, Calendar, Gate
from tests.tools.fake_node import GENESIS, FakeNode, fake_node
from tools.agents.channel import Channel
from tools.agents.homes import Home
from tools.agents.runner import Runner
from tools.agents.strategies import Offered, Truthful, View
from tools.agents.trader import DayTerms, Trader
from tools.wallet import Signer
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key

SEED = bytes(range(1, 33))
SIGNER = Signer("H", account_id(public_key(SEED)), SEED)
GATE = Gate(INTRADAY, 1_440, 60, UNIFORM, 0, sealed=False, opening_minutes=0, deposit_micro=0)
CALENDAR = Calendar(15, 60_000, 0, Zone(0, 0, ()), (GATE,))
HOME = Home("H", (1_000,) * 96, (0,) * 96, 25, 24_000_000, 50, 12_000_000)
"""A kilowatt always; a quarter of it can wait, and is worth 24 tokens now."""
SINCE = 7
OLD, NEW = (30_000_000, 8_000_000), (20_000_000, 9_000_000)


def answer_intervals(node: FakeNode) -> None:
    """Have the node tell of a market in which a vote brought other tariffs from SINCE on."""
    for interval in (SINCE - 1, SINCE):
        retail, feed_in = NEW if interval >= SINCE else OLD
        shown = {"retail_micro_per_kwh": retail, "feed_in_micro_per_kwh": feed_in}
        route = f"/day-markets/local/intervals/{interval}"
        node.routes[route] = lambda _, shown=shown: (200, shown)


def test_an_order_has_the_prices_of_its_interval() -> None:
    terms = DayTerms("local", CALENDAR)
    trader = Trader(HOME, Truthful(), SIGNER, None, terms, Random(1), 0, 0)
    with fake_node() as node:
        node.admit("H", SIGNER.account)
        answer_intervals(node)
        channel = Channel([node.url], GENESIS, read_to=node.height)
        Runner(channel, terms, [trader], lambda told: None).bid([SINCE - 1, SINCE])
        channel.close()
    (transaction,) = node.received
    prices = {call[2][1]: [step[1] for step in call[2][3]] for call in transaction.calls}
    # Nothing is worth more than it costs upstream: there the two parts have one price.
    assert prices == {SINCE - 1: [30_000_000, 24_000_000], SINCE: [20_000_000]}


def test_what_is_given_up_is_wanted_at_no_more_than_the_tariff_of_its_interval() -> None:
    """The response price is capped by what the energy costs upstream in that interval."""
    terms = DayTerms("local", CALENDAR)
    asked: list[int] = []

    class Curious(Truthful):
        def respond(self, view: View, offered: Offered) -> Step | None:
            asked.append(offered.response_price_micro_per_kwh)
            return super().respond(view, offered)

    trader = Trader(HOME, Curious(), SIGNER, None, terms, Random(1), 0, 0)
    with fake_node() as node:
        node.admit("H", SIGNER.account)
        answer_intervals(node)
        channel = Channel([node.url], GENESIS, read_to=node.height)
        Runner(channel, terms, [trader], lambda told: None).bid([SINCE - 1, SINCE])
        channel.close()
    for interval in (SINCE - 1, SINCE):
        trader.award(interval, 0, 250_000, 5_000_000)
        trader.respond(interval, 19_000_000)
    assert asked == [22_800_000, 20_000_000]
