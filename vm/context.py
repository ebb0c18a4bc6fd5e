"""What a call sees of the world: its block, its caller, the state through metered doors, events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vm.overlay import QUEUE_SPACE, Overlay, StateReader
from vm.parameters import ChainParameters
from vm.primitives.codec import Encodable, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation, OutOfGas

GAS_CALL = 200
GAS_READ = 20
GAS_WRITE = 60
GAS_BYTE = 1
GAS_SCAN = 60
GAS_SCAN_STEP = 40
GAS_EVENT = 40
GAS_EVENT_VALUE = 10

MAX_EVENTS = 1_024
"""Events of one transaction: its receipt must stay readable."""

MAX_EVENT_GAS = 400_000
"""Gas of one transaction's events and results together, which bounds their bytes and items too."""

COUNTER_PREFIX = b"c"

Event = tuple[str, str, tuple[Encodable, ...]]
"""Module, name and values of something that happened."""


@dataclass(frozen=True, slots=True)
class BlockContext:
    """The block in which calls run."""

    genesis: bytes
    """Hash of the network's genesis, 32 bytes."""
    height: int
    """Height of the block."""
    time_ms: int
    """Time of the block, milliseconds UTC."""
    parameters: ChainParameters
    """Parameters in force."""
    proposer: bytes = b""
    """Account of who makes the block; empty for genesis and at the mempool's door."""


class CallContext:
    """One transaction's (or one due item's) view of the state; calls share it in turn."""

    __slots__ = (
        "block",
        "call_depth",
        "caller",
        "codes",
        "event_gas",
        "events",
        "gas_limit",
        "gas_used",
        "height",
        "memory_used",
        "module",
        "roles",
        "state",
        "time_ms",
    )

    def __init__(self, block: BlockContext, state: Overlay, gas_limit: int) -> None:
        self.block = block
        self.height = block.height
        self.time_ms = block.time_ms
        self.state = state
        self.gas_limit = gas_limit
        self.gas_used = 0
        self.caller = b""
        self.roles = 0
        self.module = ""
        self.events: list[Event] = []
        self.event_gas = 0
        # Counted for contracts alone, see vm/contract/host.py.
        self.memory_used = 0
        self.call_depth = 0
        # By contract, the hash of the code that the transaction brought to run, and paid for.
        self.codes: dict[bytes, bytes] = {}

    def charge(self, gas: int) -> None:
        """Use up `gas`; raises OutOfGas, by which everything the call did is undone."""
        self.gas_used += gas
        if self.gas_used > self.gas_limit:
            raise OutOfGas(self.gas_limit)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        self.gas_used += GAS_READ
        if self.gas_used > self.gas_limit:
            raise OutOfGas(self.gas_limit)
        return self.state.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        self.gas_used += GAS_WRITE + GAS_BYTE * len(value)
        if self.gas_used > self.gas_limit:
            raise OutOfGas(self.gas_limit)
        self.state.put(key, value)

    def delete(self, key: bytes) -> None:
        """Delete `key`."""
        self.charge(GAS_WRITE)
        self.state.put(key, None)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) ascending in [start, end); write nothing before it is done.

        Every entry passed is paid for, also one that this block deleted.
        """
        self.charge(GAS_SCAN)
        for key, value in self.state.walk(start, end):
            self.charge(GAS_SCAN_STEP)
            if value is not None:
                yield key, value

    def first(self, start: bytes, end: bytes) -> tuple[bytes, bytes] | None:
        """Return the first (key, value) in [start, end), at the price of a scan that far."""
        self.charge(GAS_SCAN)
        for key, value in self.state.walk(start, end):
            self.charge(GAS_SCAN_STEP)
            if value is not None:
                return key, value
        return None

    def emit(self, name: str, *values: Encodable) -> None:
        """Record that something happened, for receipts and those who follow events."""
        if len(self.events) >= MAX_EVENTS:
            raise CallError(
                "too_many_events",
                "the transaction does more than one receipt can tell",
                expected=f"at most {MAX_EVENTS} events",
                hint="Split it into several transactions.",
            )
        gas = GAS_EVENT + GAS_EVENT_VALUE * len(values)
        for value in values:
            kind = type(value)
            if kind is bytes:
                gas += GAS_BYTE * len(value)  # type: ignore[arg-type]
            elif kind is str:
                gas += GAS_BYTE * len(value.encode())  # type: ignore[union-attr]
        self.charge(gas)
        self.tell(gas)
        self.events.append((self.module, name, values))

    def tell(self, gas: int) -> None:
        """Count `gas` of what the receipt will hold; raises CallError `too_many_events`."""
        self.event_gas += gas
        if self.event_gas > MAX_EVENT_GAS:
            raise CallError("too_many_events", "the transaction tells more than a receipt can hold")

    def next_number(self, counter: str) -> int:
        """Return the next number of the chain-wide `counter`, from 1."""
        key = COUNTER_PREFIX + counter.encode("ascii")
        number = int.from_bytes(self.get(key) or b"", "big") + 1
        self.put(key, number.to_bytes(8, "big"))
        return number

    def schedule(self, due_ms: int, payload: bytes) -> None:
        """Have the module's `on_due` called with `payload` in the first block from `due_ms` on."""
        number = self.next_number("queue")
        self.put(queue_key(due_ms, number), encode_trusted([self.module, payload]))


def read_last_number(state: StateReader, counter: str) -> int:
    """Return a chain-wide counter's last number without gas, for readers; 0 before the first."""
    return int.from_bytes(state.get(COUNTER_PREFIX + counter.encode("ascii")) or b"", "big")


def queue_key(due_ms: int, number: int) -> bytes:
    """Return the key of the `number`-th scheduled item, ordered by `due_ms`."""
    return QUEUE_SPACE + due_ms.to_bytes(8, "big") + number.to_bytes(8, "big")


def decode_due(key: bytes, value: bytes) -> tuple[int, str, bytes]:
    """Return (due_ms, module, payload) of an item of the due queue."""
    match unpack_trusted(value):
        case (str(module), bytes(payload)):
            return int.from_bytes(key[1:9], "big"), module, payload
    raise InvariantViolation(f"the due queue holds something else at {key.hex()}")
