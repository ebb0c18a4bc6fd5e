"""The built-in interface `certificates`: what contracts read of guarantees of origin and coins."""

from __future__ import annotations

from typing import Final

from market.certificates.records import Lot, decode_leaf, load_coins, lot_key
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import ADDRESS, INT, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable

_NOBODY: Final = bytes(20)


def certificates_interfaces() -> Interfaces:
    """Return the interface."""
    lot = Signature((("lot", INT),), tuple_of(ADDRESS, INT, INT, INT), is_view=True)
    coins = Signature((("account", ADDRESS),), INT, is_view=True)
    return {
        "certificates": {
            "lot": ContractMethod(lot, _lot),
            "coins": ContractMethod(coins, _coins),
        }
    }


def _lot(ctx: CallContext, number: int) -> Encodable:
    """Return owner, count, energy of each and expiry; a count of 0 where no such lot stands."""
    data = ctx.get(lot_key(number)) if number >= 0 else None
    if data is None:
        return _NOBODY, 0, 0, 0
    found = decode_leaf(Lot, data)
    return found.owner, found.count, found.unit_milli_wh, found.expires_ms


def _coins(ctx: CallContext, account: bytes) -> Encodable:
    """Return a member's coins, in millionths."""
    return load_coins(ctx, account).balance_micro
