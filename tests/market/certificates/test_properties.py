"""Whatever meters tell and owners do: each unit of energy once, each certificate ends once."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from market.certificates.records import read_coins
from market.meters.readings import read_intervals
from market.meters.records import INTERPOLATED, MEASURED, load_terms
from tests.market.certificates.certificate_world import SECTION, CertificateWorld
from tests.market.day.day_world import QUARTER
from tests.market.support import kwh
from vm.primitives.errors import CallError

UNIT = kwh("1")
HOLDERS = ("A", "C", "D", "E")
CAPS = {1: kwh("2"), 2: kwh("10")}


class Chance:
    """A world in which meters read late, in leaps and not at all, and lots go from hand to hand."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = CertificateWorld({**SECTION, "validity_days": 1})
        self.read = {"A": self.world.first, "B": self.world.first}
        self.held = {"A": 0, "B": 0}

    def submit(self) -> None:
        """Read a meter once or often, from any interval on, with registers that never fall."""
        world, rng = self.world, self.rng
        name = rng.choice("AB")
        now = world.time_ms // QUARTER
        if self.read[name] >= now:
            return
        first = rng.randrange(self.read[name], now)
        count = min(rng.choice((1, 1, 2, 5)), now - first)
        registers, held = [], self.held[name]
        for _ in range(count):
            held += rng.choice((0, kwh("0.3"), kwh("1.9"), rng.randrange(kwh("12"))))
            registers.append((held, 0))
        try:
            world.call("M" + name, "submit", first, tuple(registers), module="meters")
        except CallError:
            # Too late, or more than a connection carries.
            self.read[name] = max(self.read[name], now - 2)
            return
        self.held[name], self.read[name] = held, first + count

    def deal(self) -> None:
        """Transfer or retire some of a lot, mostly with success."""
        world, rng = self.world, self.rng
        who = rng.choice(HOLDERS)
        lots = world.lots(who)
        if not lots:
            return
        lot, count = rng.choice(lots), rng.randrange(1, 4)
        to = world.ids[rng.choice(HOLDERS)]
        try:
            if rng.random() < 0.6:
                world.do(who, "transfer", lot.number, count, to)
            else:
                world.do(who, "retire", lot.number, count, rng.choice((to, "x")), "")
        except CallError as error:
            assert error.code == "not_enough_certificates"

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.rng.choice((self.submit, self.submit, self.deal, self.wait))()

    def wait(self) -> None:
        self.world.go(self.world.time_ms + self.rng.randrange(1, 4) * QUARTER)

    def check_serials(self) -> None:
        """Each certificate issued is in one lot, or was retired or expired, once."""
        ends: dict[str, list[int]] = {"roof": [], "mill": []}
        names = {1: "roof", 2: "mill"}
        for lot in self.world.all_lots():
            assert lot.count > 0
            ends[names[lot.plant]] += range(lot.first_serial, lot.first_serial + lot.count)
        for event in ("retire", "expire"):
            for _, plant, first, count, *_ in self.world.said(event):
                ends[plant] += range(first, first + count)
        for number, name in names.items():
            assert sorted(ends[name]) == list(range(1, self.world.plant(number).issued + 1))

    def verified(self, number: int, member: str) -> int:
        """Return what a plant's meter proves now, within its capacity, interval by interval."""
        world = self.world
        ctx = world.context()
        config = load_terms(ctx)
        count = world.time_ms // QUARTER - world.first
        found = read_intervals(ctx, config, world.ids[member], world.first, count)
        proved = [each for each in found if each.quality in (MEASURED, INTERPOLATED)]
        return sum(min(each.injected_milli_wh, CAPS[number]) for each in proved)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_certificates_are_the_whole_units_of_verified_energy(seed: int) -> None:
    chance = Chance(seed)
    world = chance.world
    for _ in range(4):
        chance.run(30)
        chance.check_serials()
        assert world.index() == world.rebuilt_index()
    # All that was read is final, and nothing is forgotten yet.
    hours = (world.time_ms // QUARTER - world.first) // 4 + 2
    world.final(hours)
    for number, member in ((1, "A"), (2, "B")):
        plant = world.plant(number)
        assert plant.issued * UNIT + plant.carry_milli_wh == chance.verified(number, member)
        assert plant.carry_milli_wh < UNIT
    chance.check_serials()
    world.go(max([world.time_ms, *[lot.expires_ms for lot in world.all_lots()]]))
    assert world.all_lots() == []
    chance.check_serials()
    retired = sum(told[3] for told in world.said("retire") if isinstance(told[8], bytes))
    assert retired * UNIT == sum(
        coins.retired_milli_wh
        for name in HOLDERS
        if (coins := read_coins(world.overlay, world.ids[name])) is not None
    )
