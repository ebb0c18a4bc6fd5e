"""Tests of the forward that a meter settles."""

KWH = 1_000_000
TOKEN = 1_000_000
SETTLED = 3
NETWORK = {
    "meters": {
        "deadline_minutes": 15,
        "correction_minutes": 30,
        "retention_days": 2,
        "mean_days": 1,
    }
}
QUARTER_MS = 15 * 60_000
UNTIL_FINAL = 4 * 15


def make_forward(world):
    """Agree on 4 kWh in the two quarters of an hour after the next, at 10, with a penalty of 5."""
    seller = world.member("seller", money="100")
    buyer = world.member("buyer", money="100")
    meter = world.member("meter", roles=("meter",))
    first = world.time_ms // QUARTER_MS + 1
    desk = world.deploy("metered_forward.py", by=seller)
    with world.fails("requirement_failed", "no meter"):
        desk.offer(buyer, 4 * KWH, 10 * TOKEN, 5 * TOKEN, first, 2, by=seller, money="20")
    registered = (meter.address, seller.address, first, 700 * KWH, 0, 0)
    world.run(world.operator, "meters", "register", registered)
    with world.fails("requirement_failed", "lets the contract read"):
        desk.offer(buyer, 4 * KWH, 10 * TOKEN, 5 * TOKEN, first, 2, by=seller, money="20")
    world.run(seller, "meters", "allow_reader", (desk.address,))
    terms = (4 * KWH, 10 * TOKEN, 5 * TOKEN, first, 2)
    number = desk.offer(buyer, *terms, by=seller, money="20")
    desk.accept(number, by=buyer, money="40")
    world.advance(ms=(first + 2) * QUARTER_MS - world.time_ms)
    return desk, seller, buyer, meter, number, first


def submit(world, meter, interval, *injected):
    registers = tuple([((700 * KWH) + each, 0) for each in injected])
    world.run(meter, "meters", "submit", (interval, registers))


def balances(world, seller, buyer):
    return world.money(seller) // TOKEN, world.money(buyer) // TOKEN


def test_what_the_meter_shows_is_paid(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    submit(world, meter, first, 1 * KWH, 9 * KWH)
    with world.fails("requirement_failed", "not final"):
        desk.settle(number, by=buyer)
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=buyer)
    assert desk.forward_of(number).status == SETTLED
    assert balances(world, seller, buyer) == (140, 60)
    assert world.money(desk) == 0
    with world.fails("requirement_failed", "nothing is to be settled"):
        desk.settle(number, by=seller)


def test_what_is_missing_costs_a_penalty(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    submit(world, meter, first, 1 * KWH, 3 * KWH)
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=seller)
    assert balances(world, seller, buyer) == (100 + 30 - 5, 100 - 30 + 5)
    assert world.money(desk) == 0


def test_a_correction_within_its_time_counts(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    world.advance(minutes=20)
    submit(world, meter, first + 1, 4 * KWH)
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=seller)
    assert balances(world, seller, buyer) == (140, 60)


def test_what_the_meter_does_not_show_is_not_delivered(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    submit(world, meter, first, 4 * KWH)
    world.run(world.operator, "meters", "revoke", (meter.address, ()))
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=seller)
    assert balances(world, seller, buyer) == (140, 60)


def test_without_any_reading_the_deposit_is_lost(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=buyer)
    assert balances(world, seller, buyer) == (80, 120)
    assert world.money(desk) == 0


def test_who_forbids_reading_has_delivered_nothing(world):
    desk, seller, buyer, meter, number, first = make_forward(world)
    submit(world, meter, first, 1 * KWH, 9 * KWH)
    world.run(seller, "meters", "forbid_reader", (desk.address,))
    world.advance(minutes=UNTIL_FINAL)
    desk.settle(number, by=buyer)
    assert balances(world, seller, buyer) == (80, 120)


def test_what_nobody_accepted_is_taken_back(world):
    desk, seller, buyer, meter, _, first = make_forward(world)
    number = desk.offer(
        buyer, KWH, TOKEN, TOKEN, first + 9, 1, by=seller, money="1"
    )
    with world.fails("requirement_failed", "seller"):
        desk.cancel(number, by=buyer)
    desk.cancel(number, by=seller)
    with world.fails("requirement_failed", "not on offer"):
        desk.accept(number, by=buyer, money="1")
