"""Market traffic made beforehand: posts, buys and transfers of many members, each signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from node.ledger.transaction import sign_transaction
from tools.calls import buy, post_offer, transfer
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key
from vm.runtime import Call

MARKET: Final = "bench"
MEMBERS: Final = 1_000
ROLES: Final = ["operator", "validator", "prosumer", "consumer"]
KINDS: Final = ("post", "buy", "transfer")
SHARES: Final = (40, 40, 20)
GAS_LIMIT: Final = 1_000_000
EXPIRY_HEIGHT: Final = 90_000
POST_MILLI_WH: Final = 120_000
BUY_MILLI_WH: Final = 100_000
PRICE_LOW_MICRO: Final = 8_000_000
PRICE_HIGH_MICRO: Final = 12_000_000
BUY_PRICE_MICRO: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Trader:
    """A member that the benchmark signs for."""

    name: str
    """The member's name."""
    seed: bytes
    """Its secret, 32 bytes."""
    key: bytes
    """Its public key, 32 bytes."""
    account: bytes
    """Its account id, 20 bytes."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction ready to be sent."""

    id: str
    """Its id in hexadecimal digits."""
    text: str
    """Its bytes in base64."""


def make_traders(count: int = MEMBERS) -> list[Trader]:
    """Return `count` members with keys of their own."""
    traders: list[Trader] = []
    for number in range(count):
        seed = b"bench trader".ljust(24, b".") + number.to_bytes(8, "big")
        key = public_key(seed)
        traders.append(Trader(f"T{number}", seed, key, account_id(key)))
    return traders


def genesis_template(traders: Sequence[Trader], accounts: int = 0) -> dict[str, object]:
    """Return a genesis template with the traders, a market, and idle accounts up to `accounts`."""
    members: list[dict[str, object]] = [{"name": "operator", "roles": ["operator"]}]
    idle = make_traders(accounts)[len(traders) :] if accounts > len(traders) else []
    members.extend(
        {
            "name": trader.name,
            "roles": ["prosumer", "consumer"],
            "balance": "1000000",
            "energy": "10000",
            "key": trader.key.hex(),
        }
        for trader in [*traders, *idle]
    )
    market = {"name": MARKET, "line_policy": "ignore", "max_offers_per_member": 1_000_000}
    return {
        "chain": "bench",
        "engine": {"name": "poa", "parameters": {}},
        "parameters": {},
        "roles": ROLES,
        "members": members,
        "modules": {"market": {"markets": [market]}},
    }


class Traffic:
    """Signs transactions in the stated mix, each member's nonces in order."""

    def __init__(self, genesis: bytes, traders: Sequence[Trader], seed: int) -> None:
        """Draw from `seed`, so that a run can be repeated."""
        self._genesis = genesis
        self.traders = list(traders)
        self._nonces = [0] * len(self.traders)
        self.random = Random(seed)
        """What the mix is drawn from."""
        self._count = 0

    def take(self, count: int) -> list[Signed]:
        """Return the next `count` transactions; members take turns."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Signed:
        place = self._count % len(self.traders)
        self._count += 1
        return self.sign(place, (self.call(place),))

    def sign(self, place: int, calls: tuple[Call, ...]) -> Signed:
        """Return the next transaction of the member at `place`."""
        trader = self.traders[place]
        nonce = self._nonces[place]
        self._nonces[place] += 1
        transaction = sign_transaction(
            trader.seed,
            genesis=self._genesis,
            sender=trader.account,
            key=trader.key,
            nonce=nonce,
            gas_limit=GAS_LIMIT,
            max_fee_micro=0,
            expiry_height=EXPIRY_HEIGHT,
            calls=calls,
        )
        return Signed(transaction.id.hex(), base64.b64encode(transaction.raw).decode("ascii"))

    def preparation(self) -> list[Signed]:
        """Return what has to be final before the rest; nothing for market traffic."""
        return []

    def call(self, place: int) -> Call:
        """Return the next call of the member at `place`."""
        (kind,) = self.random.choices(KINDS, SHARES)
        if kind == "post":
            price = self.random.randrange(PRICE_LOW_MICRO, PRICE_HIGH_MICRO, 10_000)
            return post_offer(MARKET, 0, POST_MILLI_WH, price)
        if kind == "buy":
            return buy(MARKET, 0, BUY_MILLI_WH, BUY_PRICE_MICRO, allow_partial=True)
        to = self.traders[(place + self.random.randrange(1, len(self.traders))) % len(self.traders)]
        return transfer(to.account, 1_000 + self.random.randrange(1_000_000))


def request_body(transactions: Sequence[Signed]) -> bytes:
    """Return the body of a request that submits the transactions."""
    return json.dumps({"transactions": [signed.text for signed in transactions]}).encode("ascii")
