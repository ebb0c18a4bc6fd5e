"""The built-in interfaces that contracts can reach, with their types: bank, members.

The compiler takes the types of `bank.transfer(to, amount)` from here; the node refuses to deploy
code that declares an interface otherwise (`check_imports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.contract.code_object import Code
from vm.contract.value_types import ADDRESS, BOOL, INT, NONE, STR, ValueType


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of one method of a built-in interface."""

    parameters: tuple[tuple[str, ValueType], ...]
    """Names and types of the arguments."""
    result: ValueType
    """Type of the result."""
    is_view: bool
    """Whether it changes nothing, so that views may call it."""


INTERFACES: Final[Mapping[str, Mapping[str, Signature]]] = {
    "bank": {
        "balance": Signature((("account", ADDRESS),), INT, is_view=True),
        "transfer": Signature((("to", ADDRESS), ("amount_micro", INT)), NONE, is_view=False),
        "collect": Signature((("amount_micro", INT),), NONE, is_view=False),
    },
    "members": {
        "has_role": Signature((("account", ADDRESS), ("role", STR)), BOOL, is_view=True),
        "is_active": Signature((("account", ADDRESS),), BOOL, is_view=True),
    },
}
"""Interface to method to its types. `bank.collect` takes money from the caller to the contract."""


def check_imports(code: Code) -> list[str]:
    """Return what code declares of built-in interfaces otherwise than they are."""
    findings = []
    for found in code.imports:
        if not found.interface:
            continue
        known = INTERFACES.get(found.interface, {}).get(found.method)
        name = f"{found.interface}.{found.method}"
        if known is None:
            findings.append(f"{name} is not there")
        elif (
            found.parameters != tuple([kind for _, kind in known.parameters])
            or found.result != known.result
            or found.is_view != known.is_view
        ):
            findings.append(f"{name} has other types")
    return findings
