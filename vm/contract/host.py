"""What a running contract needs from the chain: the one door through which it reaches anything.

The interpreter is given one `Host` for each activation of a contract. What the host does, it
charges itself, to the same meter, before it does it. A host raises CallError (or OutOfGas) to
fail; a failure is never caught by a contract: it undoes the whole transaction.
"""

from __future__ import annotations

from typing import Protocol

from vm.primitives.codec import Encodable, Value


class Meter(Protocol):
    """The counters of one transaction, which all its contracts share; `CallContext` is one."""

    gas_used: int
    """Gas used so far."""
    gas_limit: int
    """Gas that may be used; the interpreter raises OutOfGas above it."""
    memory_used: int
    """Bytes allocated so far by contract values; never becomes less."""
    call_depth: int
    """Functions that wait for one another now."""


class Host(Protocol):
    """The chain, as one activation of a contract sees it."""

    @property
    def meter(self) -> Meter:
        """The transaction's counters."""

    @property
    def caller(self) -> bytes:
        """Account or contract that called, 20 bytes."""

    @property
    def contract(self) -> bytes:
        """The running contract's own address, 20 bytes."""

    @property
    def height(self) -> int:
        """Height of the block."""

    @property
    def time_ms(self) -> int:
        """Time of the block, milliseconds UTC."""

    def caller_has_role(self, roles: tuple[str, ...]) -> bool:
        """Tell whether the caller is a member with one of `roles`; a contract has none."""

    def load(self, key: bytes) -> bytes | None:
        """Return what is stored under `key`, within the contract's own storage."""

    def save(self, key: bytes, value: bytes) -> None:
        """Store `value` under `key`; accounts for the stored bytes."""

    def remove(self, key: bytes) -> None:
        """Delete what is stored under `key`, if anything is."""

    def emit(self, name: str, values: tuple[Encodable, ...]) -> None:
        """Record an event of the contract; `values` are in the canonical form."""

    def call_contract(
        self, contract: bytes, method: str, arguments: tuple[Value, ...], *, is_view: bool
    ) -> Encodable:
        """Run a function of another contract, and return its result in the canonical form.

        The host refuses an unknown contract, re-entrancy that the function does not allow, and,
        where `is_view`, a function that is no view.
        """

    def call_interface(
        self, interface: str, method: str, arguments: tuple[Value, ...]
    ) -> Encodable:
        """Run a method of a built-in interface as the contract, and return its result.

        Arguments and result are in the canonical form; the interpreter checks the result against
        the type that the code declares.
        """
