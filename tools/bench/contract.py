"""`bitenergy bench contract`: loops, arithmetic, storage and a token's transfer in contracts."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.chain import Chain
from node.ledger.execution import BlockExecution
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import Transaction, sign_transaction
from node.modules import make_runtime
from node.store import Store
from tools.bench.machine import measure_yardstick
from tools.bench.traffic import ROLES, Trader, make_traders
from tools.contract.compiler import compile_source
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json, waiting
from vm.contract.verifier import decode_code
from vm.primitives.codec import Value
from vm.primitives.signatures import public_key
from vm.runtime import Call

TURNS: Final = 1_000_000
REPEATS: Final = 300
_GAS_LIMIT: Final = 2_000_000_000
_EXPIRY: Final = 1_000
_SOURCE: Final = '''"""Loops, arithmetic, storage, and the transfers of a token."""

total: int
cells: map[int, int]
balances: map[address, int]
Transfer = event(sender=address, receiver=address, amount=int)

@init
def start(supply: int):
    self.balances[caller()] = supply

@export
def count(turns: int) -> int:
    i = 0
    while i < turns:
        i += 1
    return i

@export
def compute(turns: int) -> int:
    a = 1
    b = 1
    for i in range(turns):
        a, b = b, (a * 31 + b) % 1000003
        if b & 1 == 0:
            a ^= i
    return a

@export
def store(turns: int) -> int:
    for i in range(turns):
        self.cells[i] = self.cells.get(i, 0) + 1
    return self.cells[0]

@export
def transfer(receiver: address, amount: int) -> bool:
    require(amount > 0, "an amount is positive")
    held = self.balances.get(caller(), 0)
    require(held >= amount, "more than there is")
    self.balances[caller()] = held - amount
    self.balances[receiver] = self.balances.get(receiver, 0) + amount
    emit(Transfer(caller(), receiver, amount))
    return True
'''


@dataclass(frozen=True, slots=True)
class ContractFigures:
    """What one run measured, in time of this process alone."""

    v_per_s: int
    """Signature verifications a second on one core: the machine's yardstick."""
    while_s: float
    """A million turns of a counting `while`, seconds."""
    while_gas: int
    """Gas of it."""
    compute_ns: float
    """A turn of a loop of six operations, nanoseconds."""
    store_us: float
    """Reading and writing an entry of a storage map, microseconds."""
    transfer_us: float
    """A token's transfer as a transaction in a block, without its signature: the median."""
    transfer_gas: int
    """Gas of it."""
    built_in_transfer_us: float
    """The same of the built-in transfer of money."""
    decode_us: float
    """Verifying and preparing the contract's code once, microseconds."""
    code_bytes: int
    """Bytes of that code."""


def run_bench(*, as_json: bool) -> int:
    """Deploy the contract, measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    try:
        with waiting("running contracts", quiet=as_json):
            figures = asdict(_Bench(folder).measure())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench contract", list(figures.items()))
    return EXIT_OK


class _Bench:
    """A chain in a temporary folder on which the contract is deployed."""

    def __init__(self, folder: Path) -> None:
        self._alice, self._bob = make_traders(2)
        self._nonce = 0
        genesis = decode_genesis(json.dumps(self._genesis()).encode())
        self._digest = genesis.digest
        self._chain = Chain(Store(folder / "data"), make_runtime(genesis.roles), genesis)
        self._artefact = compile_source(_SOURCE)
        deploy = ("bench", self._artefact.raw, self._artefact.source, (10**12,))
        self._contract = self._commit(("contracts", "deploy", deploy))

    def measure(self) -> ContractFigures:
        """Measure each function."""
        while_s, while_gas = self._time(self._call("count", TURNS))
        compute_s, _ = self._time(self._call("compute", TURNS // 10))
        store_s, _ = self._time(self._call("store", 1_000))
        transfers = [
            self._time(self._call("transfer", self._bob.account, 1)) for _ in range(REPEATS)
        ]
        plain = ("accounts", "transfer", (self._bob.account, 1, ""))
        built_in = [self._time(plain)[0] for _ in range(REPEATS)]
        return ContractFigures(
            measure_yardstick().v_per_s,
            round(while_s, 3),
            while_gas,
            round(compute_s / (TURNS // 10) * 1e9, 1),
            round(store_s / 1_000 * 1e6, 2),
            round(statistics.median(seconds for seconds, _ in transfers) * 1e6, 1),
            transfers[0][1],
            round(statistics.median(built_in) * 1e6, 1),
            self._decode_us(),
            len(self._artefact.raw),
        )

    def _genesis(self) -> dict[str, object]:
        members: list[dict[str, object]] = [
            {
                "name": trader.name,
                "roles": ["prosumer", "consumer"],
                "balance": "1000000",
                "key": trader.key.hex(),
            }
            for trader in (self._alice, self._bob)
        ]
        validator = {"key": public_key(b"k" * 32).hex(), "vote_key": public_key(b"v" * 32).hex()}
        members.append({"name": "V", "roles": ["operator", "validator"], **validator})
        return {
            "chain": "bench-contract",
            "time_ms": 1,
            "engine": {"name": "poa"},
            "roles": ROLES,
            "parameters": {
                "max_transaction_gas": _GAS_LIMIT,
                "max_block_gas": _GAS_LIMIT,
            },
            "members": members,
            "modules": {"contracts": {"deploy_roles": ["prosumer"]}},
        }

    def _call(self, function: str, *arguments: Value) -> Call:
        return "contracts", "call", (self._contract, function, arguments, 0, 0)

    def _sign(self, trader: Trader, call: Call) -> Transaction:
        return sign_transaction(
            trader.seed,
            genesis=self._digest,
            sender=trader.account,
            key=trader.key,
            nonce=self._nonce,
            gas_limit=_GAS_LIMIT,
            max_fee_micro=0,
            expiry_height=_EXPIRY,
            calls=(call,),
        )

    def _commit(self, call: Call) -> bytes:
        """Put a transaction into a block; return the value of its call."""
        building = self._chain.building(
            time_ms=self._chain.header.time_ms + 1,
            proposer=self._chain.validators[0].account,
            evidence=(),
        )
        transactions: Sequence[Transaction] = [self._sign(self._alice, call)]
        for _ in building.steps(transactions, slice_size=1):
            pass
        candidate = building.candidate
        if (
            candidate is None
            or not candidate.executed.receipts
            or candidate.executed.receipts[0].code
        ):
            raise RuntimeError(f"the contract was not deployed: {candidate}")
        self._chain.write(candidate, None)
        self._chain.advance(candidate, None)
        self._nonce += 1
        value = candidate.executed.receipts[0].values[0]
        if not isinstance(value, bytes):
            raise RuntimeError("deploying gave no address")
        return value

    def _time(self, call: Call) -> tuple[float, int]:
        """Return the seconds of executing a transaction on the last state, and its gas."""
        transaction = self._sign(self._alice, call)
        execution = BlockExecution(
            self._chain.runtime,
            self._chain.store,
            block=self._chain.next_context(),
            proposer=self._chain.validators[0].account,
        )
        start_s = time.thread_time()
        receipt = execution.run(transaction)
        seconds = time.thread_time() - start_s
        if receipt.code:
            raise RuntimeError(f"the call failed: {receipt.code} {receipt.values}")
        return seconds, receipt.gas_used

    def _decode_us(self) -> float:
        times = []
        for _ in range(20):
            start_s = time.thread_time()
            decode_code(self._artefact.raw)
            times.append(time.thread_time() - start_s)
        return round(statistics.median(times) * 1e6, 1)
