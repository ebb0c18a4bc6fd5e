"""How long stake answers for faults: set in a genesis template, and told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tools.errors import Json, ToolError
from vm.parameters import ChainParameters
from vm.system.staking_terms import STAKE_ENGINE, parse_terms, validate_unbonding

_UNITS: Final = ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"))


def set_times(
    template: Mapping[str, object],
    *,
    engine: str | None,
    unbonding_minutes: int | None,
    evidence_blocks: int | None,
) -> dict[str, object]:
    """Return the template with these numbers where they are given.

    Raises ToolError, or InvalidGenesis where stake would be free before evidence of its faults has
    expired.
    """
    document = dict(template)
    named = engine or _section(document, "engine").get("name")
    if evidence_blocks is not None:
        known = _section(document, "parameters")
        document["parameters"] = {**known, "evidence_max_age_blocks": evidence_blocks}
    if unbonding_minutes is not None:
        modules = _section(document, "modules")
        staking = _section(modules, "staking")
        if named != STAKE_ENGINE and not staking:
            raise ToolError(
                "nothing is staked on this network, so that nothing is taken back",
                code="invalid_input",
                hint="Give --unbonding with --engine pos.",
            )
        staking = {**staking, "unbonding_minutes": unbonding_minutes}
        document["modules"] = {**modules, "staking": staking}
    staking = _section(_section(document, "modules"), "staking")
    if named == STAKE_ENGINE or staking:
        terms, _ = parse_terms({"token": "money", **staking})
        validate_unbonding(terms, _parameters(document))
    return document


def describe_release(genesis: Mapping[str, object]) -> str:
    """Return when stake that is taken back is free; empty where nothing is staked."""
    staking = _section(_section(genesis, "modules"), "staking")
    if not staking:
        return ""
    terms, _ = parse_terms(staking)
    parameters = _parameters(genesis)
    blocks = parameters.evidence_max_age_blocks
    quick = _as_time(blocks * parameters.block_interval_ms)
    slow = _as_time(blocks * parameters.heartbeat_ms)
    return (
        f"Stake that is taken back is free after {_as_time(terms.unbonding_ms)}, and not before "
        f"evidence of {blocks:,} blocks ago has expired: {quick} at full pace, {slow} at rest."
    )


def _parameters(document: Mapping[str, object]) -> ChainParameters:
    given = {
        name: value
        for name, value in _section(document, "parameters").items()
        if name in ChainParameters.__dataclass_fields__ and isinstance(value, int)
    }
    return ChainParameters(**given)


def _section(document: Mapping[str, object], name: str) -> Json:
    found = document.get(name, {})
    return dict(found) if isinstance(found, dict) else {}


def _as_time(time_ms: int) -> str:
    for unit_ms, name in _UNITS:
        if time_ms >= 2 * unit_ms:
            return f"{time_ms / unit_ms:.1f} {name}".replace(".0 ", " ")
    return f"{time_ms / 1_000:.1f} seconds".replace(".0 ", " ")
