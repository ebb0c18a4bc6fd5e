"""The built-in interfaces that contracts can reach, with their types: bank, members.

The compiler takes the types of `bank.transfer(to, amount)` from here; the node refuses to deploy
code that declares an interface otherwise (`check_imports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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
