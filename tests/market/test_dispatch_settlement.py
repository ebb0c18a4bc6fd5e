"""Settlement at nodal prices conserves money, pays the lines, and meets members without money."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from market.dispatch_certificate import IntervalResult
from market.dispatch_fallback import uniform_price
from market.dispatch_problem import Bid
from market.dispatch_settlement import nodal_amount_micro
from node.ledger.receipt import Receipt
from tests.market.dispatch_world import MILLI, PEOPLE, DispatchWorld
from tests.market.support import Person
from vm.primitives.integers import MAX_AMOUNT

TOKEN = 1_000_000


def poor(name: str, balance: str) -> list[Person]:
    return [
        Person(each.name, each.roles, each.bus, balance if each.name == name else each.balance)
        for each in PEOPLE
    ]


def test_prices_times_energy_are_paid_and_the_line_earns_the_difference() -> None:
    world = DispatchWorld()
    world.register_all()
    before = {name: world.money(name) for name in world.ids}
    world.submit("board", world.open())
    assert world.told("settle") == []
    world.advance(1)
    after = {name: world.money(name) for name in world.ids}
    # 600 Wh at 0.13 $/kWh, 300 at 0.3, 900 bought at 0.3; a dollar is 100 tokens.
    assert after["wind"] - before["wind"] == 7_800_000
    assert after["gas"] - before["gas"] == 9_000_000
    assert after["house"] - before["house"] == -27_000_000
    assert after["EDC"] - before["EDC"] == 600 * 17 * 1_000
    assert world.told("congestion_rent") == [("grid", 1, "A-B", world.ids["EDC"], 10_200_000)]
    assert world.told("settle_round") == [("grid", 1, 27_000_000, 16_800_000, 10_200_000, 0)]
    world.assert_conserved()


def test_who_cannot_pay_owes_and_stays_out_until_it_has_paid() -> None:
    world = DispatchWorld(poor("house", "13.5"))
    world.register_all()
    world.submit("board", world.open())
    world.advance(1)
    assert world.money("house") == 0
    assert world.told("arrears") == [("grid", 1, world.ids["house"], 13_500_000)]
    # What there was is shared by those who sold; the line gets what their shares were rounded by.
    paid = {values[2]: values[4] for values in world.told("settle")}
    assert paid == {"house": -13_500_000, "wind": 6_267_857, "gas": 7_232_142}
    world.assert_conserved()
    assert (world.money("EDC"), world.pot()[1]) == (1, 0)
    world.open()
    assert [unit.name for unit in world.problem(2).units] == ["wind", "gas"]
    assert world.told("leave_out") == [("grid", "house", world.ids["house"])]
    assert world.refusal("house", "pay_arrears", "grid") == "insufficient_money"
    world.call("operator", "transfer", world.ids["house"], 20 * TOKEN, "", module="accounts")
    world.act("house", "pay_arrears", "grid")
    assert world.refusal("house", "pay_arrears", "grid") == "no_arrears"
    assert world.pot()[1] == 13_500_000
    world.open()
    assert len(world.problem(3).units) == 3
    world.assert_conserved()


def test_a_debt_beyond_every_amount_is_told_and_owed_as_the_greatest() -> None:
    # Behind the full line nothing can move: there every price is one of the optimum's.
    world = DispatchWorld(tokens_per_dollar="1000000", max_price_per_kwh="1000000000")
    world.register("wind", "A", "generator", (2 * MILLI, 100 * MILLI, 0, 1_000))
    world.register("house", "B", "load", (0, 9_000 * MILLI, -900, -600))
    most = 10**30
    for price, answer in ((most + 1, (False, "price_range")), (most, (True, ""))):
        result = IntervalResult((1_300 * MILLI, price), (600, -600))
        assert world.submit("board", world.open(), result) == answer
    world.advance(1)
    ((*_, owed),) = world.told("arrears")
    assert owed == MAX_AMOUNT
    assert Receipt(b"", "", 0, 0, tuple(world.events), ()).encode()
    world.assert_conserved()


def test_an_area_may_only_tell_prices() -> None:
    world = DispatchWorld(settles=False)
    world.register_all()
    before = world.money("house")
    world.submit("board", world.open())
    world.advance(20_000)
    assert world.money("house") == before
    assert world.told("settle_round") == []


def test_rewards_come_from_the_pot_as_far_as_it_goes() -> None:
    world = DispatchWorld(pot="3", settles=False)
    world.register_all()
    rewards = []
    for number in range(1, 4):
        world.submit("board", world.open())
        rewards.append(world.round(number).reward_micro)
    assert rewards == [2 * TOKEN, TOKEN, 0]
    world.act("house", "fund", "grid", 7 * TOKEN)
    assert world.pot() == (7 * TOKEN, 0)
    world.assert_conserved()


@given(
    st.integers(-(2**110), 2**110),
    st.integers(-(2**43), 2**43),
    st.integers(1, 1_440),
    st.integers(1, 10**12),
)
def test_an_amount_is_rounded_down_once(price: int, power: int, minutes: int, rate: int) -> None:
    exact = Fraction(price * power) * minutes / 60 * rate / 10**24
    assert 0 <= exact - nodal_amount_micro(price * power, minutes, rate) < 1


_COST = st.tuples(st.integers(0, 5), st.integers(-2_000, 9_000))


@given(
    st.lists(st.sampled_from(["0", "0.000001", "5", "1000"]), min_size=3, max_size=3),
    st.integers(1, 1_440),
    st.sampled_from(["0.000001", "1", "99.999999", "1000000"]),
    st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6),
)
def test_money_is_conserved_whatever_is_settled(
    balances: list[str], minutes: int, rate: str, noise: list[int]
) -> None:
    from market import dispatch_settlement

    people = [
        Person(each.name, each.roles, each.bus, balance)
        for each, balance in zip(PEOPLE[2:5], balances, strict=True)
    ]
    world = DispatchWorld(
        [*PEOPLE[:2], *people, PEOPLE[5]], interval_minutes=minutes, tokens_per_dollar=rate
    )
    world.register_all()
    number = world.open().number
    world.submit("board", world.round(number))
    # Any amounts, such as other prices would bring; the settlement must not lose a micro-token.
    ctx = world.context(gas=2_000_000)
    ctx.module = "dispatch"
    found = world.round(number)
    settlement = dispatch_settlement._Settlement(
        ctx,
        dispatch_settlement.load_area(ctx, "grid"),
        found,
        dispatch_settlement.load_problem(ctx, found),
    )
    settlement.run(noise[:3], [max(0, each) for each in noise[3:4]])
    world.assert_conserved()
    world.advance(1)
    world.assert_conserved()


@given(st.lists(st.tuples(_COST, st.integers(-900, 900), st.integers(0, 900)), min_size=1))
def test_uniform_price_is_the_least_at_which_offers_cover_demand(
    bids: list[tuple[tuple[int, int], int, int]],
) -> None:
    from market.dispatch_problem import GENERATOR, DispatchProblem, Unit
    from market.network import Bus, Network

    made = [Bid(a, b, lo, lo + width) for (a, b), lo, width in bids]
    units = tuple(Unit(f"u{n}", "A", GENERATOR, (bid,)) for n, bid in enumerate(made))
    problem = DispatchProblem(Network("A", (Bus("A"),), ()), 60, 1, units)
    price = uniform_price(problem, 0)

    def injection(at: int) -> int:
        total = 0
        for bid in made:
            if bid.a == 0:
                total += bid.hi_w if at >= bid.b else bid.lo_w
            else:
                total += max(bid.lo_w, min(bid.hi_w, (at - bid.b) // bid.a))
        return total

    if sum(bid.hi_w for bid in made) >= 0 > sum(bid.lo_w for bid in made):
        assert injection(price) >= 0 > injection(price - 1)
