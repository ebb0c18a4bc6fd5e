"""The mempool: nonce order, caps, replacement, eviction, expiry, fairness, and a simple model."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.transaction import Transaction, decode_transaction
from node.mempool import REPLACEMENT_STEPS, Mempool
from vm.context import BlockContext
from vm.parameters import ChainParameters
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import InvalidTransaction
from vm.system.accounts import ACCOUNT_SPACE, ACTIVE, SUSPENDED, Account

GENESIS = bytes(32)
GAS = 100_000


class State:
    """Accounts whose nonces the test moves."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, Account] = {}
        self.reads = 0

    def add(self, sender: bytes, *, nonce: int = 0, money_micro: int = 10**12) -> None:
        self.accounts[sender] = Account(bytes(32), 0, ACTIVE, nonce, money_micro, 0, 0, 0)

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        account = self.accounts.get(key[1:]) if key[:1] == ACCOUNT_SPACE else None
        return account.encode() if account else None

    def scan(self, start: bytes, end: bytes) -> object:
        raise AssertionError("the mempool scans nothing")


STEP = ChainParameters().max_expiry_blocks // REPLACEMENT_STEPS


def block(
    height: int = 1, gas_price_micro: int = 0, max_expiry_blocks: int = 100_000
) -> BlockContext:
    parameters = ChainParameters(
        gas_price_micro=gas_price_micro, max_expiry_blocks=max_expiry_blocks
    )
    return BlockContext(GENESIS, height, 1, parameters)


def sender_id(number: int) -> bytes:
    return number.to_bytes(20, "big")


def transaction(
    sender: int, nonce: int, *, expiry: int = 100, fee: int = 0, note: str = ""
) -> Transaction:
    """Return a transaction whose signature nobody looks at."""
    calls = (("accounts", "transfer", (bytes(20), 1, note)),)
    return decode_transaction(
        encode_trusted(
            [1, 1, GENESIS, sender_id(sender), bytes(32), nonce, GAS, fee, expiry, calls, bytes(64)]
        )
    )


def pool(senders: int = 3, **caps: int) -> tuple[Mempool, State]:
    state = State()
    for number in range(senders):
        state.add(sender_id(number))
    return Mempool(state, **caps), state  # type: ignore[arg-type]


def ready(mempool: Mempool) -> list[tuple[int, int]]:
    return [(int.from_bytes(item.sender, "big"), item.nonce) for item in mempool.ready()]


def code_of(mempool: Mempool, item: Transaction, context: BlockContext | None = None) -> str:
    try:
        mempool.add(item, context or block())
    except InvalidTransaction as error:
        return error.code
    return ""


def commit(mempool: Mempool, state: State, *items: Transaction, height: int = 2) -> None:
    """Make transactions final, as the driver does."""
    for item in items:
        account = state.accounts[item.sender]
        state.accounts[item.sender] = replace(account, nonce=item.nonce + 1)
    mempool.remove(items)
    mempool.prune(list(dict.fromkeys(item.sender for item in items)), block(height))


def test_each_sender_is_served_in_nonce_order_and_all_in_turn() -> None:
    mempool, _ = pool()
    for sender, nonce in [(0, 2), (0, 0), (0, 1), (1, 1), (1, 0), (2, 1)]:
        assert code_of(mempool, transaction(sender, nonce)) == ""
    assert ready(mempool) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]  # 2 waits for its nonce 0
    assert mempool.next_nonce(sender_id(0)) == 3
    assert mempool.next_nonce(sender_id(2)) == 0


def test_a_gap_waits_until_it_is_filled_or_made_final() -> None:
    mempool, state = pool()
    mempool.add(transaction(0, 1), block())
    assert not mempool.has_ready()
    commit(mempool, state, transaction(0, 0))
    assert mempool.has_ready()
    assert ready(mempool) == [(0, 1)]


def test_what_comes_and_goes_while_a_block_is_built_does_no_harm() -> None:
    mempool, _ = pool(senders=4)
    items = [transaction(sender, 0) for sender in range(3)]
    for item in items:
        mempool.add(item, block())
    builder = mempool.ready()
    assert next(builder) is items[0]
    mempool.remove([items[1]])
    mempool.add(transaction(3, 0), block())
    mempool.add(transaction(0, 1), block())
    assert [(item.sender[-1], item.nonce) for item in builder] == [(2, 0), (0, 1)]


def test_who_was_served_goes_to_the_end() -> None:
    mempool, state = pool()
    items = [transaction(sender, nonce) for sender in range(3) for nonce in range(2)]
    for item in items:
        mempool.add(item, block())
    commit(mempool, state, items[0])
    assert ready(mempool)[:3] == [(1, 0), (2, 0), (0, 1)]


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (transaction(9, 0), "unknown_account"),
        (transaction(0, 128), "nonce_too_far"),
        (transaction(0, 0, expiry=0), "expired"),
        (transaction(0, 0, expiry=200_000), "expiry_too_far"),
        (replace(transaction(0, 0), genesis=b"x" * 32), "wrong_network"),
        (replace(transaction(0, 0), key=b"x" * 32), "wrong_key"),
    ],
)
def test_admission_says_why_not(item: Transaction, code: str) -> None:
    mempool, _ = pool()
    assert code_of(mempool, item) == code
    assert len(mempool) == mempool.size_bytes == 0


def test_a_suspended_sender_is_refused_and_pruned() -> None:
    mempool, state = pool()
    mempool.add(transaction(0, 0), block())
    state.accounts[sender_id(0)] = replace(state.accounts[sender_id(0)], status=SUSPENDED)
    assert code_of(mempool, transaction(0, 1)) == "not_active"
    mempool.prune([sender_id(0)], block())
    assert len(mempool) == 0


def test_what_a_rotated_key_signed_is_pruned() -> None:
    mempool, state = pool()
    first = transaction(0, 0)
    for item in (first, transaction(0, 1), transaction(0, 2)):
        mempool.add(item, block())
    state.accounts[sender_id(0)] = replace(state.accounts[sender_id(0)], key=bytes([1]) * 32)
    commit(mempool, state, first)
    assert (len(mempool), mempool.has_ready()) == (0, False)


def test_one_sender_has_a_cap_in_number_and_bytes() -> None:
    mempool, _ = pool(max_sender_transactions=4)
    assert [code_of(mempool, transaction(0, nonce)) for nonce in range(5)] == [
        *[""] * 4,
        "nonce_too_far",
    ]
    size = len(transaction(1, 0).raw)
    mempool, _ = pool(max_sender_bytes=3 * size)
    assert [code_of(mempool, transaction(1, nonce)) for nonce in range(4)] == [
        *[""] * 3,
        "sender_full",
    ]


def test_replacements_do_not_lead_past_the_cap_in_bytes() -> None:
    mempool, _ = pool(max_sender_bytes=1_000)
    mempool.add(transaction(0, 0), block())
    long = transaction(0, 0, expiry=100 + STEP, note="x" * 1_000)
    assert code_of(mempool, long) == "sender_full"
    assert mempool.get(transaction(0, 0).id) is not None


def test_without_a_gas_price_a_replacement_expires_clearly_later() -> None:
    mempool, _ = pool()
    first = transaction(0, 0)
    mempool.add(first, block())
    assert code_of(mempool, transaction(0, 0, fee=5)) == "replacement"
    assert code_of(mempool, transaction(0, 0, expiry=100 + STEP - 1)) == "replacement"
    second = transaction(0, 0, expiry=100 + STEP)
    assert code_of(mempool, second) == ""
    assert (mempool.get(first.id), mempool.get(second.id)) == (None, second)
    assert len(mempool) == 1
    assert mempool.size_bytes == len(second.raw)


def test_replacements_that_cost_nothing_are_few() -> None:
    mempool, _ = pool()
    taken = sum(
        code_of(mempool, transaction(0, 0, expiry=expiry)) == "" for expiry in range(1, 100_001, 50)
    )
    assert taken == REPLACEMENT_STEPS


def test_with_a_gas_price_a_replacement_pays_clearly_more() -> None:
    mempool, _ = pool()
    priced = block(gas_price_micro=1)
    assert code_of(mempool, transaction(0, 0, fee=GAS), priced) == ""
    assert code_of(mempool, transaction(0, 0, fee=GAS, expiry=101), priced) == "replacement"
    assert code_of(mempool, transaction(0, 0, fee=GAS * 11 // 10 - 1), priced) == "replacement"
    assert code_of(mempool, transaction(0, 0, fee=GAS * 11 // 10), priced) == ""


def test_a_full_mempool_evicts_the_last_of_who_takes_most() -> None:
    size = len(transaction(0, 0).raw)
    mempool, _ = pool(max_bytes=40 * size)
    for nonce in range(40):
        assert code_of(mempool, transaction(0, nonce)) == ""
    assert code_of(mempool, transaction(1, 0)) == ""
    assert mempool.get(transaction(0, 39).id) is None  # the last one gave way
    assert mempool.get(transaction(0, 0).id) is not None
    assert code_of(mempool, transaction(0, 39)) == "mempool_full"
    assert mempool.size_bytes <= 40 * size


def test_a_refused_replacement_leaves_what_stands() -> None:
    first = transaction(0, 0)
    mempool, _ = pool(max_bytes=len(first.raw))
    mempool.add(first, block())
    assert code_of(mempool, transaction(0, 0, expiry=100 + STEP, note="longer")) == "mempool_full"
    assert mempool.get(first.id) is first
    assert ready(mempool) == [(0, 0)]


def test_what_expired_vanishes_within_a_few_blocks() -> None:
    mempool, _ = pool(senders=40)
    for sender in range(40):
        mempool.add(transaction(sender, 1, expiry=5), block())  # behind a gap: nobody builds it
    for height in range(6, 10):
        mempool.prune_some(block(height))
    assert len(mempool) == mempool.size_bytes == 0


def test_a_flood_by_one_sender_keeps_nobody_out() -> None:
    """Threat 18: gaps and replacements by the hundred thousand."""
    mempool, state = pool(senders=2, max_bytes=60_000)
    refused = 0
    for number in range(100_000 // 20):
        item = transaction(0, number % 500, expiry=100 + number // 500)
        refused += code_of(mempool, item) != ""
    assert len(mempool) <= 128
    assert mempool.size_bytes <= 60_000
    assert refused
    honest = transaction(1, 0)
    assert code_of(mempool, honest) == ""
    assert honest.id in [item.id for item in list(mempool.ready())[:2]]
    assert state.reads < 100_000


def test_thirty_thousand_waiting_cost_nothing_to_look_at() -> None:
    mempool, state = pool(senders=30_000)
    for sender in range(15_000):
        mempool.add(transaction(sender, 0), block())
    for sender in range(15_000, 30_000):
        mempool.add(transaction(sender, 1), block())
    began = time.perf_counter()
    for _ in range(1_000):
        assert mempool.has_ready()
    assert (time.perf_counter() - began) / 1_000 < 0.001
    state.reads = 0
    assert mempool.has_ready()
    assert state.reads == 1
    state.reads = 0
    assert next(mempool.ready())
    assert state.reads == 1  # a block that is full early looks at no more than it takes
    state.reads = 0
    assert sum(1 for _ in mempool.ready()) == 15_000
    assert state.reads == 15_000  # those behind a gap are not looked at
    # Nor does a newcomer into a full pool look at all of them.
    mempool._max_bytes = mempool.size_bytes
    state.reads = 0
    assert code_of(mempool, transaction(5, 1)) == "mempool_full"
    assert state.reads == 1


class Model:
    """The mempool in ten lines: what waits, by sender and nonce."""

    def __init__(self, senders: int) -> None:
        self.waiting: dict[tuple[int, int], Transaction] = {}
        self.nonces = dict.fromkeys(range(senders), 0)

    def ready(self) -> set[tuple[int, int]]:
        found = set()
        for sender, nonce in self.nonces.items():
            while (sender, nonce) in self.waiting:
                found.add((sender, nonce))
                nonce += 1
        return found


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 3), st.integers(0, 6), st.integers(1, 9)),
            st.tuples(st.just("commit"), st.integers(0, 3), st.integers(0, 0), st.integers(0, 0)),
            st.tuples(st.just("expire"), st.integers(1, 9), st.integers(0, 0), st.integers(0, 0)),
        ),
        max_size=40,
    )
)
def test_it_does_as_the_simple_model(
    steps: list[tuple[str, int, int, int]],
) -> None:
    mempool, state = pool(senders=4)
    model = Model(4)
    height = 1
    for step, first, nonce, expiry in steps:
        if step == "add":
            item = transaction(first, nonce, expiry=expiry)
            standing = model.waiting.get((first, nonce))
            good = nonce >= model.nonces[first] and expiry >= height
            later = standing is None or standing.expiry_height + 2 <= expiry
            good = good and (later or item == standing)
            accepted = code_of(mempool, item, block(height, max_expiry_blocks=32)) == ""
            assert accepted == good
            if good:
                model.waiting[first, nonce] = item
        elif step == "commit":
            item = transaction(first, model.nonces[first], expiry=99)
            model.nonces[first] += 1
            commit(mempool, state, item, height=height)
            for key in [key for key in model.waiting if key[0] == first]:
                late = model.waiting[key].expiry_height < height
                if key[1] < model.nonces[first] or late:
                    del model.waiting[key]
        else:
            height = max(height, first)
            for _ in range(4):
                mempool.prune_some(block(height))
            model.waiting = {
                key: item for key, item in model.waiting.items() if item.expiry_height >= height
            }
        assert set(ready(mempool)) == model.ready()
        assert mempool.has_ready() == bool(model.ready())
        assert len(mempool) == len(model.waiting)
        assert mempool.size_bytes == sum(len(item.raw) for item in model.waiting.values())
        sizes = [sender.size_bytes for sender in mempool._senders.values()]
        assert sum(sizes) == mempool.size_bytes
