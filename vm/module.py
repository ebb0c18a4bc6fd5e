"""What a module is: declared methods, and hooks for what happens by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from vm.arguments import Argument
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError

Handler = TypeVar("Handler", bound=Callable[..., Encodable])
Section = Mapping[str, object]
"""A module's part of a genesis file, as JSON gave it."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a method says of itself."""

    arguments: tuple[Argument, ...]
    """Its typed arguments, in order."""
    roles: tuple[str, ...]
    """Roles of which a caller needs one; empty lets every active member call."""


@dataclass(frozen=True, slots=True)
class Method:
    """A declared method of a module, ready to be called."""

    declaration: Declaration
    """Arguments and roles."""
    run: Callable[..., Encodable]
    """The bound handler: takes the context and the arguments."""


@dataclass(frozen=True, slots=True)
class ContractMethod:
    """A method of a built-in interface: what contracts reach of a module."""

    signature: Signature
    """Its types, to which contracts are compiled and checked; what is a view must change nothing.

    Integers come and go with at most 64 bits.
    """
    run: Callable[..., Encodable]
    """Takes the context, in which the contract is the caller, and the arguments.

    A handler that is also declared with `method` is held to its roles and arguments.
    """


Interfaces = Mapping[str, Mapping[str, ContractMethod]]
"""Built-in interfaces by name, and their methods by name."""


def method(*arguments: Argument, roles: tuple[str, ...] = ()) -> Callable[[Handler], Handler]:
    """Declare a handler as a method that transactions may call."""

    def declare(handler: Handler) -> Handler:
        handler.__declaration__ = Declaration(arguments, roles)  # type: ignore[attr-defined]
        return handler

    return declare


class Module:
    """A built-in contract: methods declared with `method`, state only through the context."""

    name = ""

    def methods(self) -> dict[str, Method]:
        """Return the declared methods by name."""
        found: dict[str, Method] = {}
        for name in sorted(dir(type(self))):
            declaration = getattr(getattr(type(self), name), "__declaration__", None)
            if declaration is not None:
                found[name] = Method(declaration, getattr(self, name))
        return found

    def contract_interfaces(self) -> Interfaces:
        """Return what contracts reach of the module, by interface and method."""
        return {}

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the module's first state from its `section` of genesis."""

    def begin_block(self, ctx: CallContext) -> None:
        """Act before the block's transactions."""

    def end_block(self, ctx: CallContext) -> None:
        """Act after the block's transactions."""

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Act on something that the module scheduled and that is now due."""

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set parameters of the module, or of its `subject`, as voted for; raises CallError."""
        raise CallError("no_parameters", "this module has no parameters", actual=self.name)

    def change_engine(self, ctx: CallContext, engine: str) -> None:
        """Prepare for another consensus engine from the next height on; raises CallError."""

    def on_equivocation(self, ctx: CallContext, account: bytes, height: int) -> None:
        """Act on the proof that a validator contradicted itself at a past height."""

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write again the index entries (key space `i`) that follow from one authenticated leaf."""
