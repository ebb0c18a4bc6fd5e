"""The changes that governance can make: each checked against the state, then carried out.

What is checked here every version of the software judges alike: the ranges of parameters, that a
module is there and the version is its next one, the form of an engine's name and numbers. Whether
a node's software *has* that version or engine is no rule of the chain: its node says so at its
door, and stops at the height if it has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from vm.context import CallContext
from vm.module import Module
from vm.parameters import PARAMETERS_KEY, decode_parameters, validate_parameters
from vm.primitives.address import check_name
from vm.primitives.errors import BitenergyError, CallError, InvariantViolation
from vm.system.governance_records import (
    ENGINE,
    ENGINE_KEY,
    MODULE,
    PARAMETERS,
    VERSIONS_KEY,
    Change,
    EngineChoice,
    decode_engine,
    decode_versions,
    encode_versions,
)
from vm.system.voters import OPERATORS_KEY

CHAIN: Final = "chain"
"""Name under which the chain's own parameters are changed."""
ENGINES_BY_DEPTH: Final = ("pow",)
"""Engines without instant finality: no height is final when they would take over."""
MAX_NUMBER: Final = 2**53 - 1
MAX_VERSION: Final = 1_000

# A vote must not shut the door through which it could be undone.
_LEAST: Final = {
    "max_block_gas": 2_000_000,
    "max_block_bytes": 16_384,
    "max_transaction_gas": 500_000,
    "max_transaction_bytes": 4_096,
    "max_expiry_blocks": 10,
    "max_drift_ms": 100,
    "heartbeat_ms": 100,
    "evidence_max_age_blocks": 1,
    "due_gas_per_block": 2_000_000,
}
_MOST: Final = {
    "gas_price_micro": 1_000_000,
    "max_drift_ms": 600_000,
    "block_interval_ms": 60_000,
    "heartbeat_ms": 86_400_000,
}
# With these an engine would stand still, or keep votes for ever.
_ENGINE_RANGES: Final = {
    "min_block_interval_ms": (0, 60_000),
    "heartbeat_ms": (100, 86_400_000),
    "propose_timeout_ms": (100, 600_000),
    "vote_timeout_ms": (50, 600_000),
    "timeout_step_ms": (1, 600_000),
    "timeout_cap_ms": (200, 600_000),
    "resend_ms": (50, 600_000),
    "max_drift_ms": (100, 600_000),
    "rounds_ahead": (1, 16),
    "rounds_kept": (4, 1_024),
    "blocks_kept": (16, 4_096),
}


def carry_out(ctx: CallContext, modules: Mapping[str, Module], change: Change) -> None:
    """Make a change; raises CallError, by which the caller undoes what was done of it."""
    if change.kind == ENGINE:
        _change_engine(ctx, modules, change)
    elif change.kind == MODULE:
        _change_version(ctx, modules, change)
    elif change.kind == PARAMETERS and change.name == CHAIN:
        _change_chain(ctx, change)
    elif change.kind == PARAMETERS:
        _find(modules, change.name).change_parameters(ctx, change.subject, dict(change.values))
    else:
        raise InvariantViolation(f"a proposal of kind {change.kind!r}")


def _find(modules: Mapping[str, Module], name: str) -> Module:
    module = modules.get(name)
    if module is None:
        raise CallError(
            "unknown_module",
            "this chain has no such module",
            expected=", ".join([CHAIN, *modules]),
            actual=name,
        )
    return module


def _change_chain(ctx: CallContext, change: Change) -> None:
    if change.subject:
        raise CallError("unknown_subject", "the chain's parameters have no parts")
    data = ctx.get(PARAMETERS_KEY)
    if data is None:
        raise InvariantViolation("the state has no parameters")
    known = decode_parameters(data)
    values: dict[str, object] = {field.name: getattr(known, field.name) for field in fields(known)}
    for name, value in change.values:
        values[name] = value
        least, most = _LEAST.get(name, 0), _MOST.get(name, MAX_NUMBER)
        if type(value) is not int or not least <= value <= most:
            raise CallError(
                "invalid_parameters",
                f"parameter {name!r} is out of range",
                expected=f"{least} to {most}",
                actual=value,
            )
    try:
        parameters = validate_parameters(values)
    except BitenergyError as error:
        raise CallError("invalid_parameters", str(error)) from error
    operators = int.from_bytes(ctx.get(OPERATORS_KEY) or b"", "big")
    if parameters.operator_threshold > operators:
        raise CallError(
            "invalid_parameters",
            "there are not as many operators as would have to agree",
            expected=f"at most {operators}",
            actual=parameters.operator_threshold,
        )
    ctx.put(PARAMETERS_KEY, parameters.encode())


def _change_version(ctx: CallContext, modules: Mapping[str, Module], change: Change) -> None:
    _find(modules, change.name)
    versions = decode_versions(ctx.get(VERSIONS_KEY))
    following = versions.get(change.name, 1) + 1
    version = dict(change.values).get("version")
    if type(version) is not int or version != following or version > MAX_VERSION:
        raise CallError(
            "unknown_version",
            f"module {change.name!r} goes from version to version",
            expected=following,
            actual=version,
        )
    versions[change.name] = version
    ctx.put(VERSIONS_KEY, encode_versions(versions))


def _change_engine(ctx: CallContext, modules: Mapping[str, Module], change: Change) -> None:
    if not check_name(change.name):
        raise CallError("unknown_engine", "an engine has a name", actual=change.name)
    data = ctx.get(ENGINE_KEY)
    before = "" if data is None else decode_engine(data).name
    if change.name in ENGINES_BY_DEPTH or before in ENGINES_BY_DEPTH:
        raise CallError(
            "unknown_engine",
            "a running chain does not go over to or from an engine with finality by depth: blocks "
            "that are final would not be final any more, or none would be at the height",
            expected="instant finality before and after",
            actual=f"from {before} to {change.name}" if before else change.name,
            hint="Begin a network of its own with it.",
        )
    numbers: list[tuple[str, int]] = []
    for name, value in change.values:
        least, most = _ENGINE_RANGES.get(name, (0, MAX_NUMBER))
        if type(value) is not int or not least <= value <= most:
            raise CallError(
                "invalid_parameters",
                f"engine parameter {name!r} is out of range",
                expected=f"{least} to {most}",
                actual=value,
            )
        numbers.append((name, value))
    for module in modules.values():
        if type(module).change_engine is not Module.change_engine:
            module.change_engine(ctx, change.name)
    ctx.put(ENGINE_KEY, EngineChoice(change.name, tuple(numbers)).encode())
