"""Sealed orders at home: kept before they are sent, found to be opened, private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from market.auction.orders import BUY
from market.auction.rounds import commitment_of
from tools import sealed_orders
from tools.errors import ToolError
from vm.primitives.errors import BitenergyError

ME = b"m" * 20
STEPS = ((2_000_000, 9_500_000), (1_000_000, 9_000_000))


def test_an_order_is_kept_found_and_forgotten(tmp_path: Path) -> None:
    order = sealed_orders.seal(tmp_path, "day", 7, ME, "buy", STEPS)
    assert order.commitment == commitment_of("day", 7, ME, BUY, STEPS, order.salt)
    with pytest.raises(ToolError, match="nothing was committed"):
        sealed_orders.find(tmp_path, "day", 7, ME)
    sealed_orders.note_number(tmp_path, order, 3)
    (found,) = sealed_orders.find(tmp_path, "day", 7, ME)
    assert (found.number, found.steps, found.salt) == (3, STEPS, order.salt)
    for other in (("night", 7, ME), ("day", 8, ME), ("day", 7, b"y" * 20)):
        with pytest.raises(ToolError):
            sealed_orders.find(tmp_path, *other)
    (path,) = (tmp_path / "auctions").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sealed_orders.forget(tmp_path, "day", 7, ME, 4)
    assert path.exists()
    sealed_orders.forget(tmp_path, "day", 7, ME, 3)
    assert not path.exists()


def test_no_two_commitments_to_the_same_order_are_alike(tmp_path: Path) -> None:
    first = sealed_orders.seal(tmp_path, "day", 7, ME, "buy", STEPS)
    second = sealed_orders.seal(tmp_path, "day", 7, ME, "buy", STEPS)
    assert first.commitment != second.commitment


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    order = sealed_orders.seal(tmp_path, "day", 7, ME, "buy", STEPS)
    path = tmp_path / "auctions" / f"{order.commitment.hex()}.json"
    path.write_text("{}")
    with pytest.raises(BitenergyError, match=order.commitment.hex()):
        sealed_orders.find(tmp_path, "day", 7, ME)
