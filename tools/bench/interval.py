"""`bitenergy bench interval`: what an interval of a day market costs a validator, by stages."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from market.auction.orders import SIDE_NAMES
from market.day.gates import TO_THE_LAST
from market.day.orders import commitment_of
from market.day.records import DayMarket, read_market
from market.day.settlement_records import CORRECTED, DONE, FIRST, read_settlement
from node.chain import Chain
from node.genesis_file import load_genesis
from node.ledger.transaction import decode_transaction
from node.mempool import Mempool
from node.modules import make_runtime
from node.store import Store
from tools.bench.traffic import Signed, Trader, Traffic, make_traders
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json, waiting
from tools.testnet import create_network
from vm.context import Event
from vm.primitives.errors import InvariantViolation
from vm.primitives.signatures import verify_signature
from vm.runtime import Call

MARKET: Final = "bench"
PLANT_W: Final = 15_000
GATE_MINUTES: Final = 60
OPENING_MINUTES: Final = 15
DEADLINE_MINUTES: Final = 60
CORRECTION_MINUTES: Final = 60
MINUTE_MS: Final = 60_000
INTERVAL_MS: Final = 15 * MINUTE_MS
SEED: Final = 1
ROLES: Final = ["operator", "validator", "prosumer", "consumer", "meter", "supplier"]
COVER_MICRO: Final = 150_000_000
SALT: Final = b"bench interval".ljust(32, b".")

Order = tuple[int, tuple[tuple[int, int], ...]]
"""Side and steps."""


class _Bench:
    """One validator's chain, and what each stage of an interval costs it."""

    def __init__(self, folder: Path, members: int, mechanism: str) -> None:
        self._traders = make_traders(2 * members)
        self._is_sealed = mechanism == "huang"
        network = create_network(
            folder / "network", _template(self._traders, mechanism), validators=1
        )
        genesis = load_genesis(folder / "network" / "genesis.json", folder / "data")
        self.store = Store(folder / "data")
        self._chain = Chain(self.store, make_runtime(genesis.roles), genesis)
        self._mempool = Mempool(self.store)
        self._traffic = Traffic(network.genesis, self._traders, SEED)
        self.interval = self._chain.header.time_ms // INTERVAL_MS + 9
        self.cpu_s: dict[str, float] = {}
        self._plants = self._certificates = self._coin_members = 0
        random = Random(SEED)
        self._orders: list[Order] = [
            (
                place % 2,
                ((random.randrange(1, 3_000_000), random.randrange(10_000_000, 30_000_000)),),
            )
            for place in range(members)
        ]

    def run(self) -> dict[str, object]:
        """Have one interval ordered, cleared, read and settled; return the figures."""
        members = len(self._orders)
        enrolling: list[Call] = [("certificates", "enrol", ())] * members
        self._push(
            "before",
            [self._sign(place, call) for place, call in enumerate(enrolling)],
            self._chain.header.time_ms + 1,
        )
        start_ms = self.interval * INTERVAL_MS
        gate_ms = start_ms - GATE_MINUTES * MINUTE_MS
        orders = [self._sign(place, self._order(place)) for place in range(members)]
        self._push("orders", orders, self._chain.header.time_ms + 1)
        clearing_ms = gate_ms
        if self._is_sealed:
            openings = [self._sign(place, self._opening(place)) for place in range(members)]
            self._push("openings", openings, gate_ms)
            clearing_ms = gate_ms + OPENING_MINUTES * MINUTE_MS
        self._push("clearing", [], clearing_ms)
        readings = [self._sign(members + place, self._reading(place)) for place in range(members)]
        self._push("readings", readings, start_ms + INTERVAL_MS)
        due_ms = start_ms + INTERVAL_MS + DEADLINE_MINUTES * MINUTE_MS
        # Of crediting, too: it is due when the interval is closed.
        self._await("settlement", due_ms, self._is_settled)
        self._await("coins", due_ms + CORRECTION_MINUTES * MINUTE_MS, self._is_final)
        return {
            "members": members,
            "plants": self._plants,
            "certificates": self._certificates,
            "coin_members": self._coin_members,
            "cpu_s": {stage: round(spent, 4) for stage, spent in self.cpu_s.items()},
            "cpu_s_of_a_validator": round(sum(self.cpu_s.values()), 3),
        }

    def _await(self, stage: str, due_ms: int, is_done: Callable[[], bool]) -> None:
        """Pass the intervals before, which are settled in turn, and measure the one that counts."""
        while self._chain.header.time_ms < due_ms - INTERVAL_MS:
            self._push("before", [], min(self._chain.header.time_ms + INTERVAL_MS, due_ms - 1))
        for _ in range(20):
            self._push("before", [], self._chain.header.time_ms + 1)
        for _ in range(50):
            self._push(stage, [], max(due_ms, self._chain.header.time_ms + 1))
            if is_done():
                return
        raise InvariantViolation(f"the benchmark's interval did not end its {stage}")

    def _is_settled(self) -> bool:
        return self._plants > 0 and self._is_done(FIRST)

    def _is_final(self) -> bool:
        return self._coin_members > 0 and self._is_done(CORRECTED)

    def _is_done(self, part: int) -> bool:
        found = read_settlement(self.store, self._market(), self.interval, part)
        return found is not None and found.stage == DONE

    def _market(self) -> DayMarket:
        market = read_market(self.store, MARKET)
        if market is None:
            raise InvariantViolation("the benchmark's network has no day market")
        return market

    def _hear(self, events: Sequence[Event]) -> None:
        """Count what certificates tell of the interval."""
        for module, name, values in events:
            match module, name, values:
                case "certificates", "credit", (self.interval, int(plants)):
                    self._plants = plants
                case "certificates", "issue", (_, _, _, _, int(count), *_):
                    self._certificates += count
                case "certificates", "coins", (self.interval, int(members)):
                    self._coin_members = members

    def _push(self, stage: str, signed: Sequence[Signed], time_ms: int) -> None:
        """Make blocks of transactions, and note what checking and writing them costs."""
        left = [base64.b64decode(each.text) for each in signed]
        while True:
            part, left = left[:500], left[500:]
            self._push_block(stage, part, time_ms)
            if not left:
                return

    def _push_block(self, stage: str, raws: Sequence[bytes], time_ms: int) -> None:
        begun = time.process_time()
        context = self._chain.next_context()
        transactions = [decode_transaction(raw) for raw in raws]
        for item in transactions:
            if not verify_signature(item.key, item.digest, item.signature):
                raise InvariantViolation("the benchmark signed something wrong")
            self._mempool.validate(item, context)
            self._mempool.add(item, context)
        spent = time.process_time() - begun
        building = self._chain.building(
            time_ms=time_ms, proposer=self._chain.validators[0].account, evidence=()
        )
        for _ in building.steps(self._mempool.ready(), slice_size=1_000):
            pass
        built = building.candidate
        if built is None or len(built.transactions) != len(raws):
            raise InvariantViolation("the benchmark's block did not take all that was waiting")
        failed = [receipt for receipt in built.executed.receipts if receipt.code]
        if failed:
            raise InvariantViolation(f"a call of the benchmark failed: {failed[0]}")
        begun = time.process_time()
        checking = self._chain.checking(built.header, built.body, built.transactions)
        for _ in checking.steps(slice_size=1_000):
            pass
        block = checking.candidate
        if block is None:
            raise InvariantViolation("a block was checked without result")
        self._chain.write(block, None)
        self._chain.advance(block, None)
        self._mempool.remove(block.transactions)
        spent += time.process_time() - begun
        for receipt in built.executed.receipts:
            self._hear(receipt.events)
        if stage != "before":
            self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + spent

    def _sign(self, place: int, call: Call) -> Signed:
        return self._traffic.sign(place, (call,))

    def _order(self, place: int) -> Call:
        side, steps = self._orders[place]
        if not self._is_sealed:
            arguments = (MARKET, self.interval, SIDE_NAMES[side], steps, TO_THE_LAST)
            return "day", "place", arguments
        account = self._traders[place].account
        digest = commitment_of(MARKET, self.interval, account, side, steps, TO_THE_LAST, SALT)
        return "day", "commit", (MARKET, self.interval, digest, 1, COVER_MICRO)

    def _opening(self, place: int) -> Call:
        side, steps = self._orders[place]
        # Numbers are given in the order in which commitments stand in the blocks.
        opened = (place + 1, SIDE_NAMES[side], steps, TO_THE_LAST, SALT)
        return "day", "open", (MARKET, self.interval, *opened)

    def _reading(self, place: int) -> Call:
        side, ((energy, _),) = self._orders[place]
        told = energy * (90 + place % 20) // 100
        registers = ((0, 0), (0, told) if side == 0 else (told, 0))
        return "meters", "submit", (self.interval - 1, registers)


def run_bench(*, members: int, mechanism: str, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    try:
        with waiting("an interval is traded, read and settled", quiet=as_json):
            bench = _Bench(folder, members, mechanism)
            try:
                figures: dict[str, object] = {"mechanism": mechanism, **bench.run()}
            finally:
                bench.store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench interval", [(name, str(value)) for name, value in figures.items()])
    return EXIT_OK


def _template(traders: Sequence[Trader], mechanism: str) -> dict[str, object]:
    """Return a genesis of homes, each with a meter and half with a plant, and a day market."""
    count = len(traders) // 2
    homes, meters = traders[:count], traders[count:]
    members: list[dict[str, object]] = [
        {"name": "operator", "roles": ["operator"]},
        {"name": "supplier", "roles": ["supplier"], "balance": "100000000"},
    ]
    for trader, role, balance in (
        *((trader, "prosumer", "5000") for trader in homes),
        *((trader, "meter", "0") for trader in meters),
    ):
        members.append(
            {"name": trader.name, "roles": [role], "balance": balance, "key": trader.key.hex()}
        )
    gate: dict[str, object] = {
        "kind": "intraday",
        "minutes": GATE_MINUTES,
        "mechanism": mechanism,
    }
    if mechanism == "huang":
        gate |= {"sealed": True, "opening_minutes": OPENING_MINUTES, "deposit": "1"}
    market = {
        "name": MARKET,
        "account": "operator",
        "upstream": "supplier",
        "retail": "30",
        "feed_in": "10",
        "penalty": "4",
        "max_energy_kwh": "20",
        "gates": [gate],
        "members": [trader.name for trader in homes],
    }
    pairs = [
        {"meter": meter.name, "member": home.name}
        for home, meter in zip(homes, meters, strict=True)
    ]
    return {
        "chain": "bench",
        "engine": {"name": "poa", "parameters": {}},
        "parameters": {},
        "roles": ROLES,
        "members": members,
        "modules": {
            "meters": {
                "meters": pairs,
                "deadline_minutes": DEADLINE_MINUTES,
                "correction_minutes": CORRECTION_MINUTES,
            },
            "day": {"markets": [market]},
            "certificates": _certificates(homes),
        },
    }


def _certificates(homes: Sequence[Trader]) -> dict[str, object]:
    """Return a section in which those who sell have plants, credited after every interval."""
    plants = [
        {
            "plant": home.name,
            "member": home.name,
            "technology": "solar",
            "capacity_w": PLANT_W,
        }
        for home in homes[1::2]
    ]
    return {
        "unit_kwh": "0.1",
        "period_intervals": 1,
        "coins": {"market": MARKET},
        "plants": plants,
    }
