"""A chain in memory for contracts under test: storage, block, events, other contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tools.contract.compiler import compile_source
from vm.contract.code_object import Code
from vm.contract.host import Host
from vm.contract.interpreter import Door, run_function
from vm.contract.metering import charge
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError

ALICE = bytes([1]) * 20
BOB = bytes([2]) * 20
HERE = bytes([200]) * 20
THERE = bytes([201]) * 20
GAS = 2_000_000


@dataclass(slots=True)
class CountingMeter:
    """The counters of one transaction."""

    gas_limit: int = GAS
    gas_used: int = 0
    memory_used: int = 0
    call_depth: int = 0


@dataclass(slots=True)
class MemoryChain:
    """Contracts and what they store."""

    codes: dict[bytes, Code] = field(default_factory=dict)
    stored: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    events: list[tuple[bytes, str, tuple[Encodable, ...]]] = field(default_factory=list)
    roles: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    interfaces: Mapping[tuple[str, str], Callable[..., Encodable]] = field(default_factory=dict)
    active: list[bytes] = field(default_factory=list)
    height: int = 7
    time_ms: int = 1_000
    gas_used: int = 0

    def deploy(self, source: str, address: bytes = HERE, *arguments: Value) -> Code:
        """Put a contract here and run its `init`."""
        code = self.codes[address] = compile_source(source).code
        if any(found.kind.name == "INIT" for found in code.functions):
            self.call("", *arguments, address=address, door=Door.INIT)
        return code

    def call(
        self,
        name: str,
        *arguments: Value,
        caller: bytes = ALICE,
        address: bytes = HERE,
        door: Door = Door.CALL,
        gas: int = GAS,
    ) -> Encodable:
        """Run a function as one transaction: all of it, or nothing."""
        meter = CountingMeter(gas)
        stored, events = dict(self.stored), list(self.events)
        host = MemoryHost(self, meter, caller, address)
        self.active = [address]
        try:
            return run_function(self.codes[address], host, name, arguments, door)
        except CallError:
            self.stored, self.events = stored, events
            raise
        finally:
            self.gas_used = meter.gas_used
            self.active = []


class MemoryHost(Host):
    """One activation."""

    def __init__(
        self, chain: MemoryChain, meter: CountingMeter, caller: bytes, contract: bytes
    ) -> None:
        self._chain = chain
        self._meter = meter
        self._caller = caller
        self._contract = contract

    @property
    def meter(self) -> CountingMeter:
        """The transaction's counters."""
        return self._meter

    @property
    def caller(self) -> bytes:
        """Who called."""
        return self._caller

    @property
    def contract(self) -> bytes:
        """The running contract."""
        return self._contract

    @property
    def height(self) -> int:
        """Height of the block."""
        return self._chain.height

    @property
    def time_ms(self) -> int:
        """Time of the block."""
        return self._chain.time_ms

    def caller_has_role(self, roles: tuple[str, ...]) -> bool:
        """Tell whether the caller has one of the roles."""
        return any(role in roles for role in self._chain.roles.get(self._caller, ()))

    def load(self, key: bytes) -> bytes | None:
        """Return what is stored."""
        charge(self._meter, 20)
        return self._chain.stored.get((self._contract, key))

    def save(self, key: bytes, value: bytes) -> None:
        """Store."""
        charge(self._meter, 60 + len(value))
        self._chain.stored[self._contract, key] = value

    def remove(self, key: bytes) -> None:
        """Delete."""
        charge(self._meter, 60)
        self._chain.stored.pop((self._contract, key), None)

    def emit(self, name: str, values: tuple[Encodable, ...]) -> None:
        """Record an event."""
        charge(self._meter, 40)
        self._chain.events.append((self._contract, name, values))

    def call_contract(
        self, contract: bytes, method: str, arguments: tuple[Value, ...], *, is_view: bool
    ) -> Encodable:
        """Run another contract."""
        chain = self._chain
        code = chain.codes.get(contract)
        if code is None:
            raise CallError("unknown_contract", "there is no such contract")
        entry = code.entries.get(method)
        if contract in chain.active and not (entry is not None and entry.reentrant):
            raise CallError("reentrancy", "the contract waits for another")
        host = MemoryHost(chain, self._meter, self._contract, contract)
        chain.active.append(contract)
        door = Door.VIEW if is_view else Door.CALL
        result = run_function(code, host, method, arguments, door)
        chain.active.pop()
        return result

    def call_interface(
        self, interface: str, method: str, arguments: tuple[Value, ...]
    ) -> Encodable:
        """Run a stand-in of a built-in interface."""
        return self._chain.interfaces[interface, method](*arguments)
