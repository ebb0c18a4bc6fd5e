"""Votes on certificates and coins: what may change, within what bounds, and from when on."""

from __future__ import annotations

from typing import Any

import pytest

from market.certificates.module import CertificatesModule
from market.certificates.records import load_terms, load_terms_at
from market.certificates.section import MAX_COINS
from tests.market.certificates.certificate_world import CertificateWorld
from tests.market.certificates.test_coins import traded
from tests.market.day.day_world import QUARTER
from tests.market.support import kwh
from vm.primitives.errors import CallError

COIN = 1_000_000


def vote(world: CertificateWorld, subject: str = "", **values: Any) -> None:
    """Carry out what a vote decided."""
    ctx = world.context()
    ctx.module = "certificates"
    CertificatesModule().change_parameters(ctx, subject, values)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"period_intervals": 8}, "unknown_parameter"),
        ({"technologies": "solar"}, "unknown_parameter"),
        ({"unit_milli_wh": 0}, "invalid_parameters"),
        ({"unit_milli_wh": None}, "invalid_parameters"),
        ({"validity_days": 3_661}, "invalid_parameters"),
        ({"earned_micro_per_kwh": MAX_COINS + 1}, "invalid_parameters"),
        ({"lost_micro_per_kwh": -1}, "invalid_parameters"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    world = CertificateWorld()
    before = load_terms(world.context())
    with pytest.raises(CallError) as refused:
        vote(world, **values)
    assert refused.value.code == code
    assert load_terms(world.context()) == before


def test_certificates_have_no_parts() -> None:
    with pytest.raises(CallError) as refused:
        vote(CertificateWorld(), "roof", validity_days=3)
    assert refused.value.code == "unknown_subject"


def test_a_change_holds_from_the_next_interval_on() -> None:
    world = CertificateWorld()
    old = load_terms(world.context())
    vote(world, validity_days=7, lost_micro_per_kwh=0)
    ctx = world.context()
    new = load_terms(ctx)
    assert new.since == world.time_ms // QUARTER + 1
    assert (new.validity_minutes, new.lost_micro_per_kwh) == (7 * 1_440, 0)
    assert load_terms_at(ctx, new.since) == new
    assert load_terms_at(ctx, new.since - 1) == old


def test_what_was_produced_before_has_the_old_unit_and_what_comes_the_new_one() -> None:
    world = CertificateWorld()
    # The vote comes into force in the first hour's last quarter: the second hour is the new one's.
    world.flow("A", 0, ("2", "0"))
    quarters = 4 - world.first % 4
    world.go((world.first + quarters) * QUARTER - 60_000)
    vote(world, unit_milli_wh=kwh("0.5"))
    world.flow("A", quarters, ("1.5", "0"))
    world.hours(2)
    assert [(lot.count, lot.unit_milli_wh) for lot in world.all_lots()] == [
        (2, kwh("1")),
        (3, kwh("0.5")),
    ]


@pytest.mark.parametrize("is_in_time", [True, False])
def test_coins_of_an_interval_that_has_begun_keep_their_values(*, is_in_time: bool) -> None:
    world = traded("C")
    if not is_in_time:
        world.go(world.interval * QUARTER + 1)
    vote(world, earned_micro_per_kwh=3 * COIN, lost_micro_per_kwh=0)
    world.measure("A", "1", "0")
    world.measure("D", "1", "0")
    world.measure("C", "0", "1")
    world.correct()
    # Half of a kWh was renewable: at three coins, or at one less half a coin for the other half.
    assert world.coins("C").balance_micro == (COIN * 3 // 2 if is_in_time else COIN // 4)
