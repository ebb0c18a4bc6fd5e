"""The orders that a wallet's owner has committed to, kept in the home folder until they are opened.

One file per commitment, readable by its owner only: whoever knows side, steps and salt knows the
order. It is written before the commitment is sent, so that none is lost on the way.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from market.auction.orders import SIDE_NAMES
from market.auction.rounds import commitment_of
from node.private_file import read_private_file, write_private_file
from tools.errors import ToolError

FOLDER: Final = "auctions"
SALT_BYTES: Final = 32
MAX_FILE_BYTES: Final = 8_192
NO_NUMBER: Final = -1


@dataclass(frozen=True, slots=True)
class SealedOrder:
    """An order that was committed to."""

    auction: str
    """Name of the auction."""
    interval: int
    """Delivery interval."""
    account: bytes
    """Who committed to it."""
    side: str
    """`buy` or `sell`."""
    steps: tuple[tuple[int, int], ...]
    """Energy (milliwatt-hours) and price (micro-tokens per kWh) of each step."""
    salt: bytes
    """Keeps others from trying out orders."""
    number: int = NO_NUMBER
    """Its number on the chain, once the commitment is final."""

    @property
    def commitment(self) -> bytes:
        """What stands on the chain, 32 bytes."""
        side = SIDE_NAMES.index(self.side)
        return commitment_of(self.auction, self.interval, self.account, side, self.steps, self.salt)


def seal(
    home: Path,
    auction: str,
    interval: int,
    account: bytes,
    side: str,
    steps: Sequence[tuple[int, int]],
) -> SealedOrder:
    """Make and keep an order to commit to."""
    salt = secrets.token_bytes(SALT_BYTES)
    order = SealedOrder(auction, interval, account, side, tuple(steps), salt)
    _save(home, order)
    return order


def note_number(home: Path, order: SealedOrder, number: int) -> None:
    """Keep the number that the chain gave a commitment."""
    _save(home, replace(order, number=number))


def find(home: Path, auction: str, interval: int, account: bytes) -> list[SealedOrder]:
    """Return an account's commitments for an interval; raises ToolError if there is none."""
    found = [
        order
        for order in map(_load, sorted((home / FOLDER).glob("*.json")))
        if (order.auction, order.interval, order.account) == (auction, interval, account)
        and order.number != NO_NUMBER
    ]
    if not found:
        raise ToolError(
            f"nothing was committed to for interval {interval} of {auction} from here",
            code="unknown_order",
            hint="`bitenergy auction commit` notes what it commits to in the home folder.",
        )
    return found


def forget(home: Path, auction: str, interval: int, account: bytes, number: int) -> None:
    """Delete what was kept of a commitment that was cancelled, if anything was."""
    for path in sorted((home / FOLDER).glob("*.json")):
        order = _load(path)
        own = (order.auction, order.interval, order.account, order.number)
        if own == (auction, interval, account, number):
            path.unlink()


def _path(home: Path, order: SealedOrder) -> Path:
    return home / FOLDER / f"{order.commitment.hex()}.json"


def _save(home: Path, order: SealedOrder) -> None:
    fields = asdict(order)
    fields["account"], fields["salt"] = order.account.hex(), order.salt.hex()
    (home / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_file(_path(home, order), json.dumps(fields).encode(), replace=True)


def _load(path: Path) -> SealedOrder:
    try:
        found = json.loads(read_private_file(path, max_bytes=MAX_FILE_BYTES))
        return SealedOrder(
            found["auction"],
            found["interval"],
            bytes.fromhex(found["account"]),
            found["side"],
            tuple([(energy, price) for energy, price in found["steps"]]),
            bytes.fromhex(found["salt"]),
            found["number"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"{path} does not hold a sealed order",
            code="invalid_file",
            hint="Move it away, if it is not yours.",
        ) from error
