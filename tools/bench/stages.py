"""`bitenergy bench stages`: what each stage of a transaction costs one validator, network apart."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from node.chain import Chain
from node.genesis_file import load_genesis
from node.ledger.transaction import Transaction, decode_transaction
from node.mempool import Mempool
from node.modules import make_runtime
from node.store import Store
from tools.bench.contract_traffic import TRAFFICS
from tools.bench.traffic import Signed, make_traders
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json, waiting
from tools.testnet import create_network
from vm.primitives.errors import InvariantViolation
from vm.primitives.signatures import verify_signature

BLOCK: Final = 1_500
INTERVAL_MS: Final = 250
SEED: Final = 1

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StageFigures:
    """Microseconds of processor time for a transaction; medians over the blocks of the run."""

    traffic: str
    """`market`: 40 % posts, 40 % buys, 20 % transfers; `contract`: transfers of a token."""
    transactions: int
    """Transactions of the run, in blocks of 1,500."""
    signature_us: float
    """Checking its signature."""
    decode_us: float
    """From bytes to a transaction, its hashes included."""
    admit_us: float
    """Into the mempool: admission twice, as before and after the signature check."""
    execute_us: float
    """Checking a block: calls, receipts, state tree and roots."""
    write_us: float
    """One synced batch, and the caches."""
    remove_us: float
    """Out of the mempool."""
    all_us: float
    """Their sum."""
    share_of_signature: float
    """`all_us` over `signature_us`; the budget is 2."""


# mutable: filled block by block
@dataclass(slots=True)
class _Clock:
    """Processor time by stage."""

    laps_us: dict[str, list[float]] = field(default_factory=dict)

    def take(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do `work` and note what a transaction of the block cost in it."""
        start_s = time.process_time()
        result = work()
        spent_us = (time.process_time() - start_s) * 1e6 / BLOCK
        self.laps_us.setdefault(stage, []).append(spent_us)
        return result

    def median_us(self, stage: str) -> float:
        laps_us = sorted(self.laps_us[stage])
        return round(laps_us[len(laps_us) // 2], 1)


def run_bench(*, transactions: int, kind: str, as_json: bool) -> int:
    """Push blocks of traffic through one chain in this process; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    try:
        with waiting("pushing blocks through one chain", quiet=as_json):
            clock = _measure(folder, transactions, kind)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    stages = {f"{name}_us": clock.median_us(name) for name in clock.laps_us}
    signature_us = stages["signature_us"]
    all_us = sum(stages.values()) - signature_us
    figures = StageFigures(
        traffic=kind,
        transactions=transactions,
        **stages,
        all_us=round(all_us, 1),
        share_of_signature=round(all_us / signature_us, 2),
    )
    if as_json:
        print_json(asdict(figures))
    else:
        print_fields("bench stages", list(asdict(figures).items()))
    return EXIT_OK


def _measure(folder: Path, count: int, kind: str) -> _Clock:
    traders = make_traders()
    template, make_traffic = TRAFFICS[kind]
    network = create_network(folder / "network", template(traders), validators=1)
    genesis = load_genesis(folder / "network" / "genesis.json", folder / "data")
    store = Store(folder / "data")
    try:
        chain = Chain(store, make_runtime(genesis.roles), genesis)
        mempool = Mempool(store)
        traffic = make_traffic(network.genesis, traders, SEED)
        preparation = traffic.preparation()
        if preparation:
            _push_block(chain, mempool, _bytes_of(preparation), _Clock())
        clock = _Clock()
        for _ in range(max(1, count // BLOCK)):
            _push_block(chain, mempool, _bytes_of(traffic.take(BLOCK)), clock)
    finally:
        store.close()
    return clock


def _bytes_of(signed: Sequence[Signed]) -> list[bytes]:
    return [base64.b64decode(each.text) for each in signed]


def _push_block(chain: Chain, mempool: Mempool, raws: list[bytes], clock: _Clock) -> None:
    context = chain.next_context()

    def admit(items: list[Transaction]) -> None:
        for item in items:
            mempool.validate(item, context)
        for item in items:
            mempool.add(item, context)

    transactions = clock.take("decode", lambda: [decode_transaction(raw) for raw in raws])
    clock.take(
        "signature",
        lambda: [verify_signature(item.key, item.digest, item.signature) for item in transactions],
    )
    clock.take("admit", lambda: admit(transactions))
    building = chain.building(
        time_ms=chain.header.time_ms + INTERVAL_MS,
        proposer=chain.validators[0].account,
        evidence=(),
    )
    for _ in building.steps(mempool.ready(), slice_size=BLOCK):
        pass
    built = building.candidate
    if built is None or len(built.transactions) != len(raws):
        raise InvariantViolation("the benchmark's block did not take all that was waiting")
    checking = chain.checking(built.header, built.body, built.transactions)
    clock.take("execute", lambda: list(checking.steps(slice_size=BLOCK)))
    block = checking.candidate
    if block is None:
        raise InvariantViolation("a block was checked without result")

    def write() -> None:
        chain.write(block, None)
        chain.advance(block, None)

    def remove() -> None:
        senders = dict.fromkeys(item.sender for item in block.transactions)
        mempool.remove(block.transactions)
        mempool.prune(list(senders), chain.next_context())

    clock.take("write", write)
    clock.take("remove", remove)
