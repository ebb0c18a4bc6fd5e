"""Tests of contracts for difference on the prices of a day market."""

KWH = 1_000_000
TOKEN = 1_000_000
SETTLED = 3
QUARTER_MS = 15 * 60_000
NETWORK = {
    "meters": {"deadline_minutes": 15, "correction_minutes": 30},
    "day": {
        "markets": [
            {
                "name": "local",
                "account": "operator",
                "upstream": "validator",
                "retail": "30",
                "feed_in": "10",
                "max_energy_kwh": "20",
                "gates": [{"kind": "real_time", "minutes": 15}],
            }
        ]
    },
}


def make_difference(world):
    """Fix the price of 2 kWh at 18: at most 16 are owed by the buyer, and 24 by the seller."""
    buyer, seller = world.member("buyer", money="100"), world.member("seller", money="100")
    interval = world.time_ms // QUARTER_MS + 4
    desk = world.deploy("price_difference.py", by=buyer)
    terms = (seller, "local", interval, 0, 2 * KWH, 18 * TOKEN)
    number = desk.offer(*terms, by=buyer, money="16")
    return desk, buyer, seller, number, interval


def trade(world, interval, price):
    """Have a neighbour's kilowatt-hour sold at a price."""
    for name, side in (("ann", "sell"), ("bob", "buy")):
        member = world.member(name, money="100")
        order = ("local", interval, side, ((KWH, price * TOKEN),), 255)
        world.run(member, "day", "place", order)


def wait_until_settled(world, interval):
    world.advance(ms=(interval + 2) * QUARTER_MS - world.time_ms)
    world.advance(minutes=5)


def balances(world, buyer, seller):
    return world.money(buyer) // TOKEN, world.money(seller) // TOKEN


def test_above_the_price_the_seller_pays(world):
    desk, buyer, seller, number, interval = make_difference(world)
    desk.accept(number, by=seller, money="24")
    trade(world, interval, 25)
    with world.fails("requirement_failed", "not settled"):
        desk.settle(number, by=buyer)
    wait_until_settled(world, interval)
    desk.settle(number, by=buyer)
    assert balances(world, buyer, seller) == (114, 86)
    assert world.money(desk) == 0
    assert desk.difference_of(number).status == SETTLED
    with world.fails("requirement_failed", "nothing is to be settled"):
        desk.settle(number, by=buyer)


def test_below_it_the_buyer_pays(world):
    desk, buyer, seller, number, interval = make_difference(world)
    desk.accept(number, by=seller, money="24")
    trade(world, interval, 10)
    wait_until_settled(world, interval)
    desk.settle(number, by=seller)
    assert balances(world, buyer, seller) == (84, 116)
    assert world.money(desk) == 0


def test_without_a_price_both_get_back_what_they_laid_down(world):
    desk, buyer, seller, number, interval = make_difference(world)
    desk.accept(number, by=seller, money="24")
    member = world.member("ann", money="100")
    order = ("local", interval, "buy", ((KWH, 20 * TOKEN),), 255)
    world.run(member, "day", "place", order)
    wait_until_settled(world, interval)
    desk.settle(number, by=seller)
    assert balances(world, buyer, seller) == (100, 100)


def test_nobody_accepts_once_the_gate_has_cleared(world):
    desk, buyer, seller, number, interval = make_difference(world)
    trade(world, interval, 25)
    world.advance(ms=interval * QUARTER_MS - 10 * 60_000 - world.time_ms)
    with world.fails("requirement_failed", "the gate has cleared"):
        desk.accept(number, by=seller, money="24")
    with world.fails("requirement_failed", "takes it back"):
        desk.cancel(number, by=seller)
    desk.cancel(number, by=buyer)
    assert balances(world, buyer, seller) == (100, 100)
    with world.fails("requirement_failed", "not on offer"):
        desk.accept(number, by=seller, money="24")


def test_what_does_not_fit_is_refused(world):
    desk, buyer, seller, number, interval = make_difference(world)
    for change, words in (
        ({"seller": buyer}, "between two members"),
        ({"interval": interval - 4}, "has begun"),
        ({"gate": 1}, "no such gate"),
        ({"price": 31 * TOKEN}, "beyond the tariffs"),
        ({"energy": 0}, "energy is positive"),
    ):
        terms = {"seller": seller, "market": "local", "interval": interval, "gate": 0}
        terms |= {"energy": KWH, "price": 18 * TOKEN} | change
        with world.fails("requirement_failed", words):
            desk.offer(*terms.values(), by=buyer, money="50")
    with world.fails("not_allowed"):
        desk.offer(seller, "local", interval, 0, 2 * KWH, 18 * TOKEN, by=buyer, money="15")
