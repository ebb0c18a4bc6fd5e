"""Awards of a large book, kept page by page from its clearing until they are written down."""

from __future__ import annotations

from typing import Final, NamedTuple

from market.day.records import AWARD_SPACE, open_leaf
from vm.primitives.codec import encode_integer, encode_trusted

AWARDS_TYPE: Final = 134
VERSION: Final = 1


class Item(NamedTuple):
    """What one order came to."""

    number: int
    """The order's number."""
    energies_milli_wh: tuple[int, ...]
    """Energy that each of its steps trades; empty for a commitment that is forfeited."""
    value: int
    """Energy times price of all of them, half micro-tokens per kWh times mWh."""
    amount_micro: int
    """That in micro-tokens, each step rounded; of a forfeit the deposit, 0 if it is released."""


Items = tuple[Item, ...]
"""Those of one member."""
Page = list[tuple[bytes, Items]]
"""Members with their items."""


def encode_awards(page: Page) -> bytes:
    """Return the leaf of a page."""
    members = [
        (
            account,
            [
                (own.number, own.energies_milli_wh, encode_integer(own.value), own.amount_micro)
                for own in items
            ],
        )
        for account, items in page
    ]
    return encode_trusted((AWARDS_TYPE, VERSION, members))


def decode_awards(data: bytes) -> Page:
    """Return the page of a leaf's bytes."""
    (members,) = open_leaf(data, AWARDS_TYPE, 1)
    return [_member_of(*member) for member in members]  # type: ignore[union-attr, misc]


def award_key(prefix: bytes, number: int) -> bytes:
    """Return the key of a page of the interval with `prefix`."""
    return AWARD_SPACE + prefix + number.to_bytes(2, "big")


def _member_of(
    account: bytes, items: tuple[tuple[int, tuple[int, ...], bytes, int], ...]
) -> tuple[bytes, Items]:
    return account, tuple(
        [
            Item(number, energies, int.from_bytes(value, "big", signed=True), amount)
            for number, energies, value, amount in items
        ]
    )
