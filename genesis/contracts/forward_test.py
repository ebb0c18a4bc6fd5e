"""Tests of the bilateral forward."""

KWH = 1_000_000
TOKEN = 1_000_000
SETTLED, SELLER_FAILED, BUYER_FAILED = 4, 6, 7


def make_forward(world):
    seller = world.member("seller", money="100", energy="20kWh")
    buyer = world.member("buyer", money="500")
    desk = world.deploy("forward.py", by=seller)
    now = world.time_ms
    times = (now + 10_000, now + 20_000, now + 30_000)
    number = desk.offer(
        buyer, 10 * KWH, 9_500_000, 5 * TOKEN, *times, by=seller, money=5 * TOKEN
    )
    return desk, seller, buyer, number


def test_a_delivery_is_paid_and_deposits_come_back(world):
    desk, seller, buyer, number = make_forward(world)
    desk.accept(number, by=buyer, money="5")
    with world.fails("requirement_failed", "window"):
        desk.deliver(number, by=seller, energy="10kWh")
    world.advance(s=10)
    desk.deliver(number, by=seller, energy="10kWh")
    desk.pay(number, by=buyer, money="95")
    assert desk.forward_of(number).status == SETTLED
    assert (world.money(seller), world.money(buyer)) == (195 * TOKEN, 405 * TOKEN)
    assert (world.energy(seller), world.energy(buyer)) == (10 * KWH, 10 * KWH)
    assert world.money(desk) == world.energy(desk) == 0


def test_a_seller_who_does_not_deliver_loses_the_deposit(world):
    desk, seller, buyer, number = make_forward(world)
    desk.accept(number, by=buyer, money="5")
    with world.fails("requirement_failed", "nobody"):
        desk.claim(number, by=buyer)
    world.advance(s=20)
    with world.fails("requirement_failed", "window"):
        desk.deliver(number, by=seller, energy="10kWh")
    desk.claim(number, by=buyer)
    assert desk.forward_of(number).status == SELLER_FAILED
    assert (world.money(seller), world.money(buyer)) == (95 * TOKEN, 505 * TOKEN)
    assert world.money(desk) == 0


def test_a_buyer_who_does_not_pay_loses_the_deposit(world):
    desk, seller, buyer, number = make_forward(world)
    desk.accept(number, by=buyer, money="5")
    world.advance(s=10)
    desk.deliver(number, by=seller, energy="10kWh")
    world.advance(s=20)
    with world.fails("requirement_failed", "too late"):
        desk.pay(number, by=buyer, money="95")
    desk.claim(number, by=seller)
    assert desk.forward_of(number).status == BUYER_FAILED
    assert (world.money(seller), world.energy(seller)) == (105 * TOKEN, 20 * KWH)
    assert world.money(desk) == world.energy(desk) == 0


def test_what_nobody_accepted_is_taken_back(world):
    desk, seller, buyer, number = make_forward(world)
    with world.fails("requirement_failed", "seller"):
        desk.cancel(number, by=buyer)
    desk.cancel(number, by=seller)
    assert world.money(seller) == 100 * TOKEN
    with world.fails("requirement_failed", "not on offer"):
        desk.accept(number, by=buyer, money="5")


def test_nobody_is_bound_without_a_deposit(world):
    desk, _, buyer, number = make_forward(world)
    with world.fails("not_allowed"):
        desk.accept(number, by=buyer, money="4.9")
    assert world.money(desk) == 5 * TOKEN
