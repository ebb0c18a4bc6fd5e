"""The runtime: finds the method of a call, holds the caller to its roles, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vm.arguments import Argument, validate_arguments
from vm.context import GAS_CALL, CallContext
from vm.module import Declaration, Module
from vm.primitives.address import check_name
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError, InvalidGenesis, InvariantViolation

MAX_ROLES = 32

Call = tuple[str, str, tuple[Value, ...]]
"""Module, method and arguments of one call."""


@dataclass(frozen=True, slots=True)
class _Entry:
    arguments: tuple[Argument, ...]
    accepts: tuple[Callable[[Value], bool], ...]
    """The arguments' checks, taken out of them for speed."""
    role_mask: int
    run: Callable[..., Encodable]


class Runtime:
    """The modules of a chain, in the order in which their hooks run, and its roles."""

    def __init__(self, modules: Sequence[Module], roles: Sequence[str]) -> None:
        self.modules = {module.name: module for module in modules}
        self.roles = tuple(roles)
        self._entries: dict[tuple[str, str], _Entry] = {}
        self.declarations: dict[str, dict[str, Declaration]] = {}
        for module in modules:
            methods = module.methods()
            self.declarations[module.name] = {
                name: found.declaration for name, found in methods.items()
            }
            for name, found in methods.items():
                declaration = found.declaration
                mask = self.role_mask(declaration.roles) if declaration.roles else -1
                self._entries[module.name, name] = _Entry(
                    declaration.arguments,
                    tuple(argument.kind.accepts for argument in declaration.arguments),
                    mask,
                    found.run,
                )

    def role_mask(self, names: Sequence[str]) -> int:
        """Return the bit mask of those of `names` that are roles of this chain."""
        return sum(1 << place for place, name in enumerate(self.roles) if name in names)

    def role_names(self, mask: int) -> list[str]:
        """Return the names of the roles in `mask`."""
        return [name for place, name in enumerate(self.roles) if mask >> place & 1]

    def run_call(self, ctx: CallContext, call: Call) -> Encodable:
        """Run one call and return its value; raises CallError (the transaction undoes it)."""
        module, name, values = call
        entry = self._entries.get((module, name))
        if entry is None:
            raise CallError("unknown_method", "no such method", actual=f"{module}.{name}"[:80])
        ctx.charge(GAS_CALL)
        if entry.role_mask != -1 and not entry.role_mask & ctx.roles:
            raise CallError(
                "wrong_role",
                f"{module}.{name} is not for this member",
                expected=" or ".join(self.role_names(entry.role_mask)) or "a role nobody has here",
                actual=", ".join(self.role_names(ctx.roles)) or "no role",
            )
        if len(values) != len(entry.accepts):
            validate_arguments(entry.arguments, values)
        for accepts, value in zip(entry.accepts, values, strict=True):
            if not accepts(value):
                validate_arguments(entry.arguments, values)
        ctx.module = module
        return entry.run(ctx, *values)

    def run_due(self, ctx: CallContext, module: str, payload: bytes) -> None:
        """Run something due; raises CallError."""
        found = self.modules.get(module)
        if found is None:
            raise InvariantViolation(f"something is due in module {module!r}, which is not there")
        ctx.module = module
        found.on_due(ctx, payload)


def validate_roles(names: Sequence[object]) -> tuple[str, ...]:
    """Return the roles of a chain as genesis lists them; raises InvalidGenesis."""
    roles = tuple(name for name in names if isinstance(name, str) and check_name(name))
    if len(roles) != len(names) or len(dict.fromkeys(roles)) != len(roles):
        raise InvalidGenesis("roles are names, each once", actual=names)
    if not 1 <= len(roles) <= MAX_ROLES:
        raise InvalidGenesis("too few or too many roles", expected=f"1 to {MAX_ROLES}")
    if "operator" not in roles:
        raise InvalidGenesis("a chain needs the role 'operator'", hint="Add it to `roles`.")
    return roles
