"""Sealed orders that a browser's wallet exported, to be opened where that browser is gone.

Each is encrypted under a key that HKDF makes of the wallet's seed (the explorer's core/sealed.js).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from node.browser_seal import unseal_kept
from tools import calls
from tools.client import NodeClient, list_field, object_field
from tools.errors import ToolError
from tools.wallet import Signer
from vm.primitives.address import encode_address
from vm.primitives.codec import encode_trusted
from vm.runtime import Call

FORMAT: Final = "bitenergy-sealed-orders"
VERSION: Final = 1
PURPOSE: Final = b"bitenergy/sealed-orders"
DAY: Final = "day"


@dataclass(frozen=True, slots=True)
class BrowserOrder:
    """An order that a browser committed to."""

    module: str
    """`day` or `auction`."""
    name: str
    """Of the day market or the auction."""
    interval: int
    """Delivery interval."""
    side: str
    """`buy` or `sell`."""
    steps: tuple[tuple[int, int], ...]
    """Energy (milliwatt-hours) and price (micro-tokens per kWh) of each step."""
    last_gate: int
    """Gate up to which it goes on; 0 in an auction."""
    salt: bytes
    """Keeps others from trying out orders."""
    commitment: bytes
    """What stands on the chain, 32 bytes."""

    def opening(self, number: int) -> Call:
        """Return the call that opens it under its number on the chain."""
        if self.module == DAY:
            where = (self.name, self.interval, number)
            return calls.open_day_order(*where, self.side, self.steps, self.last_gate, self.salt)
        return calls.open_order(self.name, self.interval, number, self.side, self.steps, self.salt)


def read_orders(data: bytes, signer: Signer) -> list[BrowserOrder]:
    """Return the orders of an exported file; raises ToolError where it is not this key's."""
    try:
        found = json.loads(data)
        if (found["format"], found["version"]) != (FORMAT, VERSION):
            raise ValueError("not the format of sealed orders")
        if found["account"] != signer.account.hex():
            raise ValueError("another account's orders")
        return [
            _read(bytes.fromhex(commitment), sealed, signer)
            for commitment, sealed in found["orders"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(
            "this is no file of sealed orders of this key",
            code="invalid_file",
            expected=f"what the wallet's page exported for {encode_address(signer.account)}",
            hint="Name the key with --from.",
        ) from error


def find_number(client: NodeClient, order: BrowserOrder, account: bytes) -> int | None:
    """Return the number of a commitment that stands sealed on the chain; None where none does."""
    address = encode_address(account)
    if order.module == DAY:
        path = f"/day-markets/{order.name}/intervals"
        day = client.get(f"{path}/{order.interval}").get("day")
        found = client.get(path, day=str(day), first=order.interval, limit=1, member=address)
        (listed,) = list_field(found, "intervals")
        if listed.get("position") is None:
            return None
        orders, name = list_field(object_field(listed, "position"), "orders"), "number"
    else:
        path = f"/auctions/{order.name}/intervals/{order.interval}"
        orders, name = list_field(client.get(path, member=address), "book"), "order"
    for each in orders:
        if each.get("commitment") == order.commitment.hex():
            return int(str(each[name]))
    return None


def _read(commitment: bytes, sealed: dict[str, str], signer: Signer) -> BrowserOrder:
    associated = encode_trusted((FORMAT, VERSION, signer.account, commitment))
    kept = (bytes.fromhex(sealed["nonce"]), bytes.fromhex(sealed["ciphertext"]))
    data = unseal_kept(signer.seed, PURPOSE, kept, associated)
    if data is None:
        raise ValueError("the key does not open it")
    order = json.loads(data)
    return BrowserOrder(
        order["module"],
        order["name"],
        int(order["interval"]),
        order["side"],
        tuple([(int(energy), int(price)) for energy, price in order["pairs"]]),
        int(order.get("lastGate", 0)),
        bytes.fromhex(order["salt"]),
        commitment,
    )
