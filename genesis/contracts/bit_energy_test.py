"""Tests of the Bit-Energy market: the published tables, and what the rules say beyond them."""

KWH = 1_000_000
TOKEN = 1_000_000
IGNORE, SKIP, PENALTY = 0, 1, 2
NOBODY = bytes(20)
OFFERS = (("P1", 6, 9_820_000), ("P2", 7, 9_900_000), ("P3", 8, 9_970_000))


def make_market(world, policy, penalty=0, payee=NOBODY):
    edc = world.member("EDC", roles=("edc",))
    people = {
        name: world.member(name, money="1000", energy="50kWh") for name in ("C1", "P1", "P2", "P3")
    }
    market = world.deploy("bit_energy.py", policy, penalty, payee, by=edc)
    for name, limit in (("P1", 5), ("P2", 10), ("P3", 5)):
        market.set_pair_limit(people["C1"], people[name], limit * KWH, by=edc)
    for name, energy, price in OFFERS:
        market.post(energy * KWH, price, by=people[name], energy=energy * KWH)
    return market, people


def figures(world, market, people):
    standing = market.standing()
    found = {}
    for name, member in people.items():
        offered = sum(one.energy_milli_wh for one in standing if one.seller == member.address)
        found[name] = (world.money(member), world.energy(member) + offered, offered)
    return found


def cents(text):
    whole, _, part = text.partition(".")
    return int(whole) * TOKEN + int(part.ljust(6, "0") or 0)


def test_table_2(world):
    market, people = make_market(world, IGNORE)
    market.buy(8 * KWH, 10 * TOKEN, False, by=people["C1"], money="1000")
    assert figures(world, market, people) == {
        "C1": (cents("921.28"), 58 * KWH, 0),
        "P1": (cents("1058.92"), 44 * KWH, 0),
        "P2": (cents("1019.80"), 48 * KWH, 5 * KWH),
        "P3": (cents("1000"), 50 * KWH, 8 * KWH),
    }


def test_table_3(world):
    market, people = make_market(world, SKIP)
    market.buy(8 * KWH, 10 * TOKEN, False, by=people["C1"], money="1000")
    assert figures(world, market, people) == {
        "C1": (cents("921.20"), 58 * KWH, 0),
        "P1": (cents("1049.10"), 45 * KWH, 1 * KWH),
        "P2": (cents("1029.70"), 47 * KWH, 4 * KWH),
        "P3": (cents("1000"), 50 * KWH, 8 * KWH),
    }


def test_table_4(world):
    market, people = make_market(world, PENALTY, 100_000)
    market.buy(15 * KWH, 10 * TOKEN, False, by=people["C1"], money="1000")
    assert figures(world, market, people) == {
        "C1": (cents("851.74"), 65 * KWH, 0),
        "P1": (cents("1059.02"), 44 * KWH, 0),
        "P2": (cents("1069.30"), 43 * KWH, 0),
        "P3": (cents("1019.94"), 48 * KWH, 6 * KWH),
    }
    assert market.traded_between(people["P1"], people["C1"]) == 6 * KWH


def test_penalties_may_go_to_the_distribution_company(world):
    edc = world.member("Grid", roles=("edc",))
    market, people = make_market(world, PENALTY, 100_000, edc)
    market.buy(15 * KWH, 10 * TOKEN, False, by=people["C1"], money="1000")
    assert world.money(edc) == 100_000
    assert world.money(people["P1"]) == cents("1058.92")


def test_a_purchase_that_is_not_covered_changes_nothing(world):
    market, people = make_market(world, IGNORE)
    before = figures(world, market, people)
    with world.fails("requirement_failed", "do not cover"):
        market.buy(22 * KWH, 10 * TOKEN, False, by=people["C1"], money="1000")
    with world.fails("not_allowed"):
        market.buy(8 * KWH, 10 * TOKEN, False, by=people["C1"], money="10")
    assert figures(world, market, people) == before
    fills = market.buy(22 * KWH, 10 * TOKEN, True, by=people["C1"], money="1000")
    assert sum(fill.energy_milli_wh for fill in fills) == 21 * KWH


def test_sellers_take_their_offers_back(world):
    market, people = make_market(world, IGNORE)
    with world.fails("requirement_failed", "another member"):
        market.withdraw(1, by=people["P2"])
    market.withdraw(1, by=people["P1"])
    assert world.energy(people["P1"]) == 50 * KWH
    assert [one.offer_number for one in market.standing()] == [2, 3]


def test_only_its_owner_sets_limits(world):
    market, people = make_market(world, SKIP)
    with world.fails("wrong_caller"):
        market.set_pair_limit(people["C1"], people["P1"], 0, by=people["C1"])
