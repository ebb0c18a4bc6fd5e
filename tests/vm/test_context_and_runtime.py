"""Gas is charged before work is done; calls reach declared methods in their roles, no others."""

import pytest

from tests.ledger.support import MemoryState, key_of
from vm.arguments import (
    ACCOUNT,
    AMOUNT,
    BOOLEAN,
    EMPTY,
    KEY,
    NAME,
    UINT63,
    Argument,
    byte_string,
    either,
    integer,
    text,
    validate_arguments,
)
from vm.context import (
    GAS_CALL,
    GAS_EVENT,
    GAS_EVENT_VALUE,
    GAS_READ,
    GAS_SCAN,
    GAS_SCAN_STEP,
    GAS_WRITE,
    MAX_EVENTS,
    BlockContext,
    CallContext,
    decode_due,
    queue_key,
)
from vm.module import Module, method
from vm.overlay import Overlay
from vm.parameters import ChainParameters
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError, InvalidGenesis, InvariantViolation, OutOfGas
from vm.runtime import Runtime, validate_roles

BLOCK = BlockContext(bytes(32), 5, 1_000, ChainParameters())


def context(gas: int = 10_000, **entries: bytes) -> CallContext:
    """Return a context over a small state."""
    state = MemoryState({key.encode(): value for key, value in entries.items()})
    return CallContext(BLOCK, Overlay(state), gas)


class Shop(Module):
    """A module for these tests."""

    name = "shop"

    @method(Argument("number", integer(1, 5)), roles=("seller",))
    def sell(self, ctx: CallContext, number: int) -> Encodable:
        """Sell."""
        ctx.emit("sold", number)
        return number

    @method(roles=("nobody-has-this",))
    def closed(self, ctx: CallContext) -> Encodable:
        """Be closed."""
        return None

    @method()
    def look(self, ctx: CallContext) -> Encodable:
        """Look."""
        return ctx.module

    def hidden(self, ctx: CallContext) -> Encodable:
        """Not declared, so no call reaches it."""
        return "secret"


def test_a_scan_pays_for_what_was_deleted_too() -> None:
    ctx = context(i1=b"x", i2=b"y", i3=b"z")
    for key in (b"i1", b"i2"):
        ctx.delete(key)
    before = ctx.gas_used
    assert list(ctx.scan(b"i", b"j")) == [(b"i3", b"z")]
    assert ctx.gas_used - before == GAS_SCAN + 3 * GAS_SCAN_STEP


def test_events_pay_for_their_bytes_and_are_bounded() -> None:
    ctx = context()
    ctx.gas_limit = 1_000_000
    ctx.emit("name", b"12345", "abc", 7)
    assert ctx.gas_used == GAS_EVENT + 3 * GAS_EVENT_VALUE + 8
    for _ in range(MAX_EVENTS - 1):
        ctx.emit("again")
    with pytest.raises(CallError) as caught:
        ctx.emit("once too often")
    assert caught.value.code == "too_many_events"


def test_every_door_has_its_price() -> None:
    ctx = context(a=b"1", i1=b"x", i2=b"y")
    spent = []
    for action in (
        lambda: ctx.get(b"a"),
        lambda: ctx.put(b"a", b"12345"),
        lambda: ctx.delete(b"a"),
        lambda: list(ctx.scan(b"i", b"j")),
        lambda: ctx.emit("name", 1),
    ):
        before = ctx.gas_used
        action()
        spent.append(ctx.gas_used - before)
    assert spent == [
        GAS_READ,
        GAS_WRITE + 5,
        GAS_WRITE,
        GAS_SCAN + 2 * GAS_SCAN_STEP,
        GAS_EVENT + GAS_EVENT_VALUE,
    ]


@pytest.mark.parametrize("door", ["get", "put", "delete", "emit", "scan"])
def test_nothing_happens_past_the_limit(door: str) -> None:
    ctx = context(gas=0, a=b"1", i1=b"x")
    with pytest.raises(OutOfGas) as caught:
        match door:
            case "get":
                ctx.get(b"a")
            case "put":
                ctx.put(b"a", b"2")
            case "delete":
                ctx.delete(b"a")
            case "emit":
                ctx.emit("name")
            case "scan":
                list(ctx.scan(b"i", b"j"))
    assert caught.value.code == "out_of_gas"
    assert ctx.state.changes == {}
    assert ctx.events == []


def test_the_limit_itself_may_be_used() -> None:
    ctx = context(gas=GAS_READ, a=b"1")
    assert ctx.get(b"a") == b"1"
    with pytest.raises(OutOfGas):
        ctx.get(b"a")


def test_a_scan_stops_where_the_gas_ends() -> None:
    entries = {f"i{number}": b"" for number in range(9)}
    ctx = context(gas=GAS_SCAN + 3 * GAS_SCAN_STEP, **entries)
    seen = []
    with pytest.raises(OutOfGas):
        for key, _ in ctx.scan(b"i", b"j"):
            seen.append(key)
    assert seen == [b"i0", b"i1", b"i2"]


def test_counters_count_and_items_line_up_by_time() -> None:
    ctx = context()
    assert [ctx.next_number("x"), ctx.next_number("x"), ctx.next_number("y")] == [1, 2, 1]
    ctx.module = "shop"
    ctx.schedule(2**40, b"late")
    ctx.schedule(7, b"early")
    ctx.schedule(7, b"early too")
    items = [decode_due(*entry) for entry in ctx.scan(b"q", b"r")]
    assert items == [(7, "shop", b"early"), (7, "shop", b"early too"), (2**40, "shop", b"late")]
    assert queue_key(255, 1) < queue_key(256, 0)


def make_runtime() -> Runtime:
    """Return a runtime with the shop."""
    return Runtime([Shop()], ("operator", "seller"))


@pytest.mark.parametrize(
    ("call", "roles", "code"),
    [
        (("shop", "sell", (3,)), 0b10, ""),
        (("shop", "sell", (3,)), 0b11, ""),
        (("shop", "sell", (3,)), 0b01, "wrong_role"),
        (("shop", "sell", (3,)), 0, "wrong_role"),
        (("shop", "closed", ()), 0b11, "wrong_role"),
        (("shop", "look", ()), 0, ""),
        (("shop", "look", (1,)), 0, "invalid_arguments"),
        (("shop", "sell", (6,)), 0b10, "invalid_arguments"),
        (("shop", "sell", (True,)), 0b10, "invalid_arguments"),
        (("shop", "sell", ()), 0b10, "invalid_arguments"),
        (("shop", "hidden", ()), 0b11, "unknown_method"),
        (("shop", "__init__", ()), 0b11, "unknown_method"),
        (("shop", "init_genesis", ({},)), 0b11, "unknown_method"),
        (("shop", "on_due", (b"",)), 0b11, "unknown_method"),
        (("", "", ()), 0b11, "unknown_method"),
    ],
)
def test_calls_reach_declared_methods_in_their_roles(call: tuple, roles: int, code: str) -> None:
    ctx = context()
    ctx.roles = roles
    if not code:
        make_runtime().run_call(ctx, call)
        assert ctx.gas_used >= GAS_CALL
        assert ctx.module == "shop"
        return
    with pytest.raises(CallError) as caught:
        make_runtime().run_call(ctx, call)
    assert caught.value.code == code
    assert ctx.events == []


def test_roles_have_names_and_bits() -> None:
    runtime = make_runtime()
    assert runtime.role_mask(["seller"]) == 0b10
    assert runtime.role_names(0b11) == ["operator", "seller"]
    assert runtime.role_mask(["unknown"]) == 0


def test_what_is_due_in_no_module_is_our_bug() -> None:
    with pytest.raises(InvariantViolation):
        make_runtime().run_due(context(), "gone", b"")


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["seller"],
        ["operator", "operator"],
        ["operator", ""],
        ["operator", 1],
        ["operator", "a b"],
    ],
)
def test_roles_that_contradict_themselves_are_refused(names: list) -> None:
    with pytest.raises(InvalidGenesis):
        validate_roles(names)
    with pytest.raises(InvalidGenesis):
        validate_roles(["operator", *(f"r{number}" for number in range(32))])


ACCEPTS = [
    (UINT63, [0, 2**63 - 1], [-1, 2**63, True, "1", b"", None, 1.0]),
    (AMOUNT, [1, 2**63 - 1], [0, -1, 2**63, True]),
    (BOOLEAN, [True, False], [0, 1, None]),
    (ACCOUNT, [bytes(20)], [bytes(19), bytes(21), "a" * 20, None]),
    (NAME, ["a", "A.1_-"], ["", "a b", "ä", b"a", "a" * 33]),
    (KEY, [], [bytes(32), b"\1" + bytes(31), bytes(31), "k" * 32]),
    (text(4), ["", "abcd", "éé"], ["abcde", "ééé", b"a"]),
    (byte_string(1, 2), [b"a", b"ab"], [b"", b"abc", "a"]),
    (either(EMPTY, NAME), [b"", "a"], ["", b"a", None, 0, False]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), ACCEPTS)
def test_arguments_accept_what_they_say(kind: object, good: list, bad: list) -> None:
    declared = (Argument("value", kind),)
    for value in good:
        validate_arguments(declared, (value,))
    for value in bad:
        with pytest.raises(CallError) as caught:
            validate_arguments(declared, (value,))
        assert caught.value.code == "invalid_arguments"
    with pytest.raises(CallError):
        validate_arguments(declared, ())
    assert KEY.accepts(key_of("P1"))
