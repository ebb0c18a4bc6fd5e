"""`bitenergy bench book`: a purchase in a small book, in a large one, and behind limits."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.chain import Chain
from node.ledger.execution import BlockExecution
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import Transaction, sign_transaction
from node.modules import make_runtime
from node.store import Store
from tools.bench.traffic import ROLES, Trader, make_traders
from tools.calls import buy, post_offer
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json, waiting
from vm.primitives.signatures import public_key
from vm.runtime import Call

SELLERS: Final = 1_000
OFFERS: Final = 10_000
BLOCKED: Final = 1_000
SMALL: Final = 10
REPEATS: Final = 300
ENERGY_MILLI_WH: Final = 1_000_000
CHEAP_MICRO: Final = 5_000_000
DEAR_MICRO: Final = 8_000_000
LIMIT_MICRO: Final = 50_000_000
GAS_LIMIT: Final = 2_000_000
FAR_BUS: Final = "far"
NEAR_BUS: Final = "near"
_EXPIRY = 1_000
_BLOCK = 200


@dataclass(frozen=True, slots=True)
class BookFigures:
    """What one run measured: medians of executing one `buy`, without its signature."""

    small_us: float
    """Among 10 offers, microseconds."""
    large_us: float
    """Among 10,000 offers."""
    ratio: float
    """The second over the first."""
    blocked_us: Mapping[str, float]
    """Among 10,000 of which the buyer cannot use the cheapest 1,000, by reason."""
    blocked_ratio: Mapping[str, float]
    """The same over the small book of the same market."""


def run_bench(*, as_json: bool) -> int:
    """Fill the books, measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    try:
        with waiting("filling the books", quiet=as_json):
            bench = _Bench(folder)
            figures = asdict(bench.measure())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench book", list(figures.items()))
    return EXIT_OK


class _Bench:
    """A chain in a temporary folder, whose markets are filled through transactions."""

    def __init__(self, folder: Path) -> None:
        traders = make_traders(SELLERS * 2 + 2)
        self._buyer, self._single = traders[0], traders[1]
        self._sellers, self._far = traders[2 : SELLERS + 2], traders[SELLERS + 2 :]
        self._nonces: dict[bytes, int] = {}
        genesis = decode_genesis(json.dumps(self._genesis()).encode())
        self._digest = genesis.digest
        runtime = make_runtime(genesis.roles)
        self._chain = Chain(Store(folder / "data"), runtime, genesis)

    def measure(self) -> BookFigures:
        """Fill each market, small first, and measure a purchase in each state."""
        small: dict[str, float] = {}
        large: dict[str, float] = {}
        for market in ("plain", "own", "one_seller_at_its_limit", "full_line", "many_at_limits"):
            self._commit(self._posts(market, self._sellers[:SMALL], SMALL, DEAR_MICRO))
            small[market] = self._time_buy(market)
            if market != "plain":
                self._commit(self._posts(market, self._blocked(market), BLOCKED, CHEAP_MICRO))
            rest = OFFERS - SMALL - (BLOCKED if market != "plain" else 0)
            self._commit(self._posts(market, self._sellers, rest, DEAR_MICRO + 10_000))
            large[market] = self._time_buy(market)
        reasons = [market for market in large if market != "plain"]
        return BookFigures(
            small["plain"],
            large["plain"],
            round(large["plain"] / small["plain"], 2),
            {reason: large[reason] for reason in reasons},
            {reason: round(large[reason] / small[reason], 2) for reason in reasons},
        )

    def _blocked(self, market: str) -> Sequence[Trader]:
        if market == "own":
            return [self._buyer]
        if market == "one_seller_at_its_limit":
            return [self._single]
        return self._far

    def _genesis(self) -> dict[str, object]:
        members: list[dict[str, object]] = [
            {
                "name": trader.name,
                "roles": ["prosumer", "consumer"],
                "bus": FAR_BUS if trader in self._far else NEAR_BUS,
                "balance": "1000000000",
                "energy": "1000000",
                "key": trader.key.hex(),
            }
            for trader in [self._buyer, self._single, *self._sellers, *self._far]
        ]
        validator = {"key": public_key(b"k" * 32).hex(), "vote_key": public_key(b"v" * 32).hex()}
        members.append({"name": "V", "roles": ["operator", "validator"], **validator})
        line = {"name": "L", "from": NEAR_BUS, "to": FAR_BUS, "rating_w": 0}
        network = {"slack": NEAR_BUS, "buses": [NEAR_BUS, FAR_BUS], "lines": [line]}
        limits = {f"{self._buyer.name}-{trader.name}": "0" for trader in self._far}
        markets: list[dict[str, object]] = [
            {"name": "plain", "line_policy": "ignore"},
            {"name": "own", "line_policy": "ignore"},
            {
                "name": "one_seller_at_its_limit",
                "line_policy": "skip",
                "pair_limits_kwh": {f"{self._buyer.name}-{self._single.name}": "0"},
            },
            {"name": "full_line", "line_policy": "skip", "network": network},
            {"name": "many_at_limits", "line_policy": "skip", "pair_limits_kwh": limits},
        ]
        return {
            "chain": "bench-book",
            "time_ms": 1,
            "engine": {"name": "poa"},
            "roles": ROLES,
            "members": members,
            "modules": {"market": {"markets": markets}},
        }

    def _posts(
        self, market: str, sellers: Sequence[Trader], count: int, price_micro: int
    ) -> list[Transaction]:
        return [
            self._sign(
                sellers[number % len(sellers)],
                post_offer(market, 0, ENERGY_MILLI_WH, price_micro + number),
            )
            for number in range(count)
        ]

    def _sign(self, trader: Trader, call: Call) -> Transaction:
        nonce = self._nonces.get(trader.account, 0)
        self._nonces[trader.account] = nonce + 1
        return sign_transaction(
            trader.seed,
            genesis=self._digest,
            sender=trader.account,
            key=trader.key,
            nonce=nonce,
            gas_limit=GAS_LIMIT,
            max_fee_micro=0,
            expiry_height=_EXPIRY,
            calls=(call,),
        )

    def _commit(self, transactions: Sequence[Transaction]) -> None:
        for start in range(0, len(transactions), _BLOCK):
            building = self._chain.building(
                time_ms=self._chain.header.time_ms + 1,
                proposer=self._chain.validators[0].account,
                evidence=(),
            )
            part = transactions[start : start + _BLOCK]
            for _ in building.steps(part, slice_size=_BLOCK):
                pass
            candidate = building.candidate
            if candidate is None or len(candidate.transactions) != len(part):
                raise RuntimeError(f"posts did not fit into a block: {building.dropped[:1]}")
            self._chain.write(candidate, None)
            self._chain.advance(candidate, None)

    def _time_buy(self, market: str) -> float:
        """Return the median microseconds of executing one purchase of one whole offer."""
        call = buy(market, 0, ENERGY_MILLI_WH, LIMIT_MICRO)
        transaction = self._sign(self._buyer, call)
        self._nonces[self._buyer.account] -= 1
        times: list[float] = []
        for _ in range(REPEATS):
            execution = BlockExecution(
                self._chain.runtime,
                self._chain.store,
                block=self._chain.next_context(),
                proposer=self._chain.validators[0].account,
            )
            start_s = time.thread_time()
            receipt = execution.run(transaction)
            times.append(time.thread_time() - start_s)
            if receipt.code:
                raise RuntimeError(f"the purchase failed: {receipt.code} {receipt.values}")
        return round(statistics.median(times) * 1e6, 1)
