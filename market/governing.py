"""The parameters of a market that members may change by a vote, and the check of them together.

Their names are those of the genesis file with their unit. Network, intervals and gate closure are
not among them: offers that stand and gates that are scheduled rest on these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.records import PAYEE_NAMES, POLICY_NAMES, MarketConfig
from market.section import validate_config
from vm.primitives.codec import Value
from vm.primitives.errors import CallError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

NUMBERS: Final = (
    "penalty_price_micro_per_kwh",
    "min_price_micro_per_kwh",
    "max_price_micro_per_kwh",
    "min_energy_milli_wh",
    "max_offers_per_member",
)
CHOICES: Final = {
    "line_policy": ("policy", POLICY_NAMES),
    "penalty_payee": ("penalty_payee", PAYEE_NAMES),
}
DEFAULT_LIMIT: Final = "default_pair_limit_milli_wh"
GOVERNED: Final = (*CHOICES, *NUMBERS, DEFAULT_LIMIT)
"""Every name that a proposal may give."""


def changed_market(config: MarketConfig, values: Mapping[str, Value]) -> MarketConfig:
    """Return the market with other parameters; raises CallError where they do not fit."""
    fields: dict[str, int | None] = {}
    for name, value in values.items():
        if name in CHOICES:
            field, words = CHOICES[name]
            if value not in words:
                raise _refusal(name, " or ".join(words), value)
            fields[field] = words.index(str(value))
        elif name == DEFAULT_LIMIT and value is None:
            fields[name] = None
        elif name in NUMBERS or name == DEFAULT_LIMIT:
            if type(value) is not int or not 0 <= value <= MAX_AMOUNT:
                raise _refusal(name, f"0 to {MAX_AMOUNT}", value)
            fields[name] = value
        else:
            raise CallError(
                "unknown_parameter",
                "a market has no such parameter that a vote may change",
                expected=", ".join(GOVERNED),
                actual=name,
            )
    changed = replace(config, **fields)  # type: ignore[arg-type]
    if not changed.min_energy_milli_wh:
        raise _refusal("min_energy_milli_wh", "at least 1", 0)
    try:
        validate_config(changed, f"market {config.name!r}")
    except InvalidGenesis as error:
        raise CallError("invalid_parameters", str(error)) from error
    return changed


def _refusal(name: str, expected: str, actual: Value) -> CallError:
    return CallError(
        "invalid_parameters", f"parameter {name!r} does not fit", expected=expected, actual=actual
    )
