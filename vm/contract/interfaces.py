"""The types of the built-in interfaces that contracts can reach, as modules declare them.

Modules provide them (`Module.contract_interfaces`), also those above `vm`. The compiler takes the
types of `bank.transfer(to, amount)` from there; the node refuses to deploy code that declares an
interface otherwise (`check_imports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vm.contract.code_object import Code
from vm.contract.value_types import ValueType


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of one method of a built-in interface."""

    parameters: tuple[tuple[str, ValueType], ...]
    """Names and types of the arguments."""
    result: ValueType
    """Type of the result."""
    is_view: bool
    """Whether it changes nothing, so that views may call it."""


Signatures = Mapping[str, Mapping[str, Signature]]
"""Interface to method to its types."""


def check_imports(code: Code, known: Signatures) -> list[str]:
    """Return what is wrong with the built-in interfaces that code declares, in words."""
    findings: list[str] = []
    for wanted in code.imports:
        if not wanted.interface:
            continue
        name = f"{wanted.interface}.{wanted.method}"
        found = known.get(wanted.interface, {}).get(wanted.method)
        if found is None:
            findings.append(f"{name} is not there on this network")
        elif (
            wanted.parameters != tuple(kind for _, kind in found.parameters)
            or wanted.result != found.result
            or wanted.is_view != found.is_view
        ):
            findings.append(f"{name} has other types on this network")
    return findings
