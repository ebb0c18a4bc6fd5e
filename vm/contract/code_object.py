"""The decoded code of a contract: its storage, events, imports and functions, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from vm.contract.host import Host, Meter
from vm.contract.value_types import ValueType
from vm.contract.wire import CopyIn, Wire


class FunctionKind(IntEnum):
    """Through which door a function is entered."""

    INTERNAL = 0
    """Only by other functions of the same contract."""
    EXPORT = 1
    """By transactions and other contracts."""
    VIEW = 2
    """By anyone, also without a transaction; changes nothing."""
    INIT = 3
    """Once, when the contract is deployed."""
    UPGRADE = 4
    """Once, when other code is replaced by this."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A declared storage variable or map; its number is its place in the code."""

    name: str
    """Its name in the source."""
    key: ValueType | None
    """Type of a map's keys; None for a variable."""
    value: ValueType
    """Type of the variable, or of the map's values."""


@dataclass(frozen=True, slots=True)
class EventForm:
    """A declared event."""

    name: str
    """Its name."""
    fields: tuple[tuple[str, ValueType], ...]
    """Names and types of its values; simple types only."""


@dataclass(frozen=True, slots=True)
class Import:
    """A function of another contract, or of a built-in interface, that the code may call."""

    interface: str
    """Name of the built-in interface; empty where a contract is given by its address."""
    method: str
    """Name of the function."""
    parameters: tuple[ValueType, ...]
    """Types of its arguments."""
    result: ValueType
    """Type of its result."""
    is_view: bool
    """Whether it changes nothing."""


Registers = list[Any]
"""Register 0 holds the activation, the others the values of one function.

Their types are the verifier's matter: it has proved what each register holds.
"""
Block = list[Any]
"""A prepared basic block: its gas, its operators, and what ends it (see `interpreter.py`)."""


# mutable: filled in once all functions are known, because they call one another
@dataclass(slots=True)
class Body:
    """What runs of a function."""

    blocks: tuple[Block, ...] = ()
    """Its prepared basic blocks; the first is entered."""
    rest: tuple[object, ...] = ()
    """First values of the registers behind the arguments."""
    fresh: tuple[tuple[int, Callable[[], object]], ...] = ()
    """Registers that need a new first value in each call, and what makes it."""
    fresh_bytes: int = 0
    """Memory that these values are counted for."""
    number: int = 0
    """The function's place in the code."""


Runner = Callable[[Body, Registers], object]
"""Runs a function whose registers are filled, and returns its result."""


# mutable: one for each time that a contract is entered, and freezing doubles its cost
@dataclass(slots=True)
class Activation:
    """A contract that was entered and has not returned."""

    host: Host
    """The chain, as it sees it."""
    meter: Meter
    """The counters of the transaction."""
    run: Runner
    """Runs its functions."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a contract."""

    number: int
    """Its place in the code."""
    name: str
    """Its name."""
    kind: FunctionKind
    """Through which door it is entered."""
    mutates: bool
    """Whether it may change anything; never so for a view or what a view calls."""
    reentrant: bool
    """Whether it may be entered while its contract waits for another."""
    roles: tuple[str, ...]
    """Roles of which the caller needs one; empty for everybody."""
    only: int
    """Slot of the variable that holds the only allowed caller; -1 for everybody."""
    parameters: tuple[tuple[str, ValueType], ...]
    """Names and types of its arguments."""
    result: ValueType
    """Type of what it returns."""
    takes: tuple[CopyIn, ...]
    """Checked copies of its arguments."""
    gives: Wire
    """How its result goes out."""
    gas: int
    """Gas of entering it."""
    body: Body
    """What runs of it."""


@dataclass(frozen=True, slots=True)
class Code:
    """The verified code of one contract."""

    raw: bytes
    """The bytes it was decoded from."""
    code_hash: bytes
    """Their tagged hash, 32 bytes."""
    types: tuple[ValueType, ...]
    """Its types; instructions name them by number."""
    constants: tuple[object, ...]
    """Its constants."""
    slots: tuple[Slot, ...]
    """Its storage, by slot number."""
    events: tuple[EventForm, ...]
    """Its events."""
    imports: tuple[Import, ...]
    """What it calls outside itself."""
    functions: tuple[Function, ...]
    """All its functions."""
    entries: dict[str, Function]
    """Those that can be entered from outside, by name."""
