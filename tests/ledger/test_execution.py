"""Blocks: what their transactions do, what happens by itself, and what no block may hold."""

from collections.abc import Callable

import pytest

from node.ledger.execution import GAS_DUE_ITEM, GAS_TRANSACTION, read_next_due_ms
from tests.ledger.support import TIME_MS, Chain, id_of, key_of
from vm.arguments import UINT63, Argument
from vm.context import CallContext
from vm.module import Module, method
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError, InvalidBlock, InvariantViolation

PAY = ("accounts", "transfer", (id_of("P2"), 5, ""))


class Clock(Module):
    """A module whose work happens by itself."""

    name = "clock"

    def __init__(self) -> None:
        self.at_begin: Callable[[CallContext], None] = lambda ctx: None
        self.at_end: Callable[[CallContext], None] = lambda ctx: None
        self.at_due: Callable[[CallContext, bytes], None] = lambda ctx, payload: None

    @method(Argument("due_ms", UINT63))
    def wake(self, ctx: CallContext, due_ms: int) -> Encodable:
        """Schedule something."""
        ctx.schedule(due_ms, b"%d" % due_ms)
        return None

    def begin_block(self, ctx: CallContext) -> None:
        self.at_begin(ctx)

    def end_block(self, ctx: CallContext) -> None:
        self.at_end(ctx)

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        ctx.emit("due", payload)
        self.at_due(ctx, payload)


def dropped_code(chain: Chain, **options: object) -> str:
    """Return why a transfer with `options` cannot stand in the next block ('' if it can)."""
    built = chain.build([chain.transaction("P1", PAY, **options)])
    return built.dropped[0][1].code if built.dropped else ""


def test_nonces_count_from_zero_without_gaps() -> None:
    chain = Chain()
    assert dropped_code(chain, nonce=1) == "wrong_nonce"
    assert dropped_code(chain, nonce=0) == ""
    chain.run("P1", PAY)
    assert dropped_code(chain, nonce=0) == "wrong_nonce"
    assert dropped_code(chain, nonce=1) == ""


def test_several_of_one_sender_stand_in_order() -> None:
    chain = Chain()
    built = chain.grow(*(chain.transaction("P1", PAY, nonce=nonce) for nonce in (0, 1, 3, 2)))
    assert built.codes == ["", "", ""]
    assert [transaction.nonce for transaction, _ in built.dropped] == [3]
    assert chain.nonce("P1") == 3


def test_one_transaction_stands_once() -> None:
    chain = Chain()
    one = chain.transaction("P1", PAY)
    built = chain.build([one, one])
    assert [error.code for _, error in built.dropped] == ["wrong_nonce"]
    with pytest.raises(InvalidBlock, match="nonce"):
        chain.check(built.candidate, transactions=[one, one])
    chain.grow(one)
    assert chain.build([one]).codes == []


@pytest.mark.parametrize(
    ("expiry", "code"),
    [(0, "expired"), (1, ""), (11, ""), (12, "expiry_too_far"), (2**63 - 1, "expiry_too_far")],
)
def test_expiry_is_the_last_height(expiry: int, code: str) -> None:
    chain = Chain(parameters={"max_expiry_blocks": 10})
    assert chain.height == 1
    assert dropped_code(chain, expiry_height=expiry) == code


def test_gas_limits_have_bounds() -> None:
    chain = Chain(parameters={"max_transaction_gas": 50_000})
    size = len(chain.transaction("P1", PAY, gas_limit=1_300).raw)
    assert dropped_code(chain, gas_limit=GAS_TRANSACTION + size - 1) == "gas_limit"
    assert dropped_code(chain, gas_limit=GAS_TRANSACTION + size) == ""
    assert dropped_code(chain, gas_limit=50_000) == ""
    assert dropped_code(chain, gas_limit=50_001) == "gas_limit"


def test_a_block_has_a_gas_limit_for_what_is_used_and_asked() -> None:
    chain = Chain(parameters={"max_block_gas": 20_000, "max_transaction_gas": 20_000})
    waiting = [chain.transaction("P1", PAY, nonce=nonce, gas_limit=10_000) for nonce in range(9)]
    built = chain.build(waiting)
    used = built.candidate.header.gas_used
    assert 10_000 < used <= 20_000 < used + 10_000
    assert built.dropped == [], "what does not fit waits"
    assert len(built.codes) == 6
    with pytest.raises(InvalidBlock, match="gas"):
        chain.check(built.candidate, transactions=waiting)


def test_a_block_has_a_size_limit() -> None:
    size = len(Chain().transaction("P1", PAY).raw)
    chain = Chain(parameters={"max_block_bytes": 3 * size, "max_transaction_bytes": 2 * size})
    waiting = [chain.transaction("P1", PAY, nonce=nonce) for nonce in range(4)]
    built = chain.build(waiting)
    assert len(built.codes) == 3
    body = type(built.candidate.body)(b"", (), tuple(one.raw for one in waiting))
    with pytest.raises(InvalidBlock, match="too large"):
        chain.check(built.candidate, body=body, transactions=waiting)
    long = chain.transaction("P1", ("m", "f", (bytes(2 * size),)))
    assert [error.code for _, error in chain.build([long]).dropped] == ["too_long"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"genesis": bytes(32)}, "wrong_network"),
        ({"signer": "P2"}, "wrong_key"),
        ({"seed_purpose": "vote"}, "wrong_key"),
    ],
)
def test_only_the_members_own_transaction_for_this_network(options: dict, code: str) -> None:
    assert dropped_code(Chain(), **options) == code


def test_strangers_are_refused() -> None:
    chain = Chain()
    built = chain.build([chain.transaction("X", PAY, nonce=0)])
    assert [error.code for _, error in built.dropped] == ["unknown_account"]


def test_a_failing_call_pays_its_fee_and_nothing_else() -> None:
    chain = Chain(parameters={"gas_price_micro": 3})
    before = chain.account("P1").money_micro
    receipt = chain.run(
        "P1", PAY, ("accounts", "burn", (10**17,)), gas_limit=9_000, max_fee_micro=27_000
    )
    assert receipt.code == "insufficient_money"
    assert 0 < receipt.gas_used < 9_000
    assert receipt.fee_micro == 3 * receipt.gas_used
    assert chain.account("P1").money_micro == before - receipt.fee_micro
    assert chain.account("V1").money_micro == receipt.fee_micro
    assert chain.account("P2").money_micro == 500_500_000
    assert chain.nonce("P1") == 1


def test_running_out_of_gas_costs_the_limit_and_undoes_all() -> None:
    chain = Chain(parameters={"gas_price_micro": 1})
    before = chain.account("P1").money_micro
    receipt = chain.run("P1", *(PAY,) * 3, gas_limit=2_500, max_fee_micro=2_500)
    assert (receipt.code, receipt.gas_used, receipt.fee_micro) == ("out_of_gas", 2_500, 2_500)
    assert chain.account("P1").money_micro == before - 2_500
    assert chain.account("P2").money_micro == 500_500_000


def test_the_fee_must_be_allowed_and_there() -> None:
    chain = Chain(parameters={"gas_price_micro": 1})
    assert dropped_code(chain, gas_limit=2_000, max_fee_micro=1_999) == "max_fee"
    assert dropped_code(chain, gas_limit=2_000, max_fee_micro=2_000) == ""
    poor = chain.transaction("Op", PAY, gas_limit=2_000, max_fee_micro=2_000)
    assert [error.code for _, error in chain.build([poor]).dropped] == ["insufficient_money"]


def test_fees_need_a_proposer_with_an_account() -> None:
    chain = Chain(parameters={"gas_price_micro": 1})
    paid = chain.transaction("P1", PAY, gas_limit=2_000, max_fee_micro=2_000)
    with pytest.raises(InvalidBlock, match="proposer"):
        chain.build([paid], proposer="X")


def test_due_items_run_first_in_order_and_once() -> None:
    clock = Clock()
    chain = Chain(clock)
    late, soon = TIME_MS + 50_000, TIME_MS + 20_000
    chain.run("P1", ("clock", "wake", (late,)), ("clock", "wake", (soon,)))
    assert read_next_due_ms(chain.state) == soon
    assert chain.grow(time_ms=soon - 1).candidate.executed.receipts == ()
    built = chain.grow(chain.transaction("P1", PAY), time_ms=soon)
    first, second = built.candidate.executed.receipts
    assert first.transaction_id == b""
    assert first.events == (("clock", "due", (b"%d" % soon,)),)
    assert second.transaction_id == built.candidate.transactions[0].id
    assert built.candidate.executed.first_transaction == 1
    assert read_next_due_ms(chain.state) == late
    assert len(chain.grow(time_ms=late + 1).candidate.executed.receipts) == 1
    assert read_next_due_ms(chain.state) is None
    assert chain.grow().candidate.executed.receipts == ()


def test_a_due_item_that_fails_is_undone_alone() -> None:
    clock = Clock()
    chain = Chain(clock)

    def fail_on_first(ctx: CallContext, payload: bytes) -> None:
        ctx.put(b"x" + payload, b"mark")
        if payload.endswith(b"1"):
            raise CallError("no_luck", "it fails")

    clock.at_due = fail_on_first
    times = [TIME_MS + 10_001, TIME_MS + 10_002]
    chain.run("P1", *(("clock", "wake", (time,)) for time in times))
    built = chain.grow(time_ms=TIME_MS + 20_000)
    assert [(one.code, len(one.events)) for one in built.candidate.executed.receipts] == [
        ("no_luck", 0),
        ("", 1),
    ]
    assert chain.state.get(b"x%d" % times[0]) is None
    assert chain.state.get(b"x%d" % times[1]) == b"mark"
    assert read_next_due_ms(chain.state) is None


def test_what_is_due_shares_a_budget_and_the_rest_waits_whole() -> None:
    """Each item has its full limit: what earlier ones used never makes a later one fail."""
    clock = Clock()
    chain = Chain(clock, parameters={"due_gas_per_block": 2 * GAS_DUE_ITEM})
    clock.at_due = lambda ctx, payload: ctx.charge(GAS_DUE_ITEM - 1_000)
    chain.run("P1", *(("clock", "wake", (TIME_MS + 5_000 + n,)) for n in range(3)))
    seen = []
    for number in range(1, 5):
        receipts = chain.grow(time_ms=TIME_MS + 10_000 * number).candidate.executed.receipts
        seen.append([receipt.code for receipt in receipts])
    assert seen == [["", ""], [""], [], []]


def test_an_item_that_schedules_itself_at_once_is_bounded() -> None:
    clock = Clock()
    chain = Chain(clock, parameters={"due_gas_per_block": GAS_DUE_ITEM})
    clock.at_due = lambda ctx, payload: ctx.schedule(1, b"again")
    chain.run("P1", ("clock", "wake", (1,)))
    receipts = chain.grow().candidate.executed.receipts
    assert 1 <= len(receipts) < 1_000
    assert read_next_due_ms(chain.state) == 1


def test_hooks_run_around_the_transactions_and_fail_alone() -> None:
    clock = Clock()
    chain = Chain(clock)
    clock.at_begin = lambda ctx: ctx.emit("begin", ctx.height)
    clock.at_end = lambda ctx: ctx.emit("end", ctx.time_ms)
    executed = chain.grow(chain.transaction("P1", PAY)).candidate.executed
    assert [one.events[0][1] for one in executed.receipts] == ["begin", "transfer", "end"]

    def fail(ctx: CallContext) -> None:
        ctx.put(b"x", b"mark")
        raise CallError("no_luck", "it fails")

    clock.at_begin = clock.at_end = fail
    executed = chain.grow(chain.transaction("P1", PAY)).candidate.executed
    assert [one.code for one in executed.receipts] == ["no_luck", "", "no_luck"]
    assert chain.state.get(b"x") is None


@pytest.mark.parametrize("error", [InvariantViolation("bug"), ZeroDivisionError(), KeyError(1)])
def test_our_own_bugs_are_not_mistaken_for_bad_input(error: Exception) -> None:
    clock = Clock()
    chain = Chain(clock)

    def fail(ctx: CallContext, payload: bytes) -> None:
        raise error

    clock.at_due = fail
    chain.run("P1", ("clock", "wake", (1,)))
    with pytest.raises(type(error)):
        chain.grow()


def test_members_that_change_in_a_block_count_for_its_later_transactions() -> None:
    chain = Chain()
    built = chain.grow(
        chain.transaction("Op", ("members", "suspend", (id_of("P1"),))),
        chain.transaction("P1", PAY),
        chain.transaction("P2", ("members", "rotate_key", (key_of("P2", "next"),))),
        chain.transaction("P2", PAY, nonce=1),
        chain.transaction("P2", PAY, nonce=1, seed_purpose="next"),
    )
    assert built.codes == ["", "", ""]
    assert [error.code for _, error in built.dropped] == ["not_active", "wrong_key"]
