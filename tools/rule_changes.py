"""Changes of a network's rules as people write them: `market.spot.penalty_price=0.2` and the like.

chain.NAME=NUMBER           a parameter of the chain, as `bitenergy node status` and /params show
market.MARKET.NAME=VALUE    a market's rule, named and written as in the genesis file
day.MARKET.NAME=VALUE       a rule of a day market, in the same way
auction.AUCTION.NAME=VALUE  a rule of an auction, in the same way
certificates.NAME=VALUE     unit_kwh, validity_days, earned, lost
meters.NAME=VALUE           mean_days
quota.NAME=VALUE            penalty_price, deposit_percent
response.NAME=VALUE         alpha_percent, upstream_price, tolerance_percent, past_intervals, …
governance.NAME=VALUE       quorum=2/3, threshold=2/3, voting_period_ms, notice_blocks
contracts.NAME=VALUE        deploy_roles=edc,operator, deposit_micro_per_byte, upgrade_needs_vote=1
contracts.CONTRACT.code_hash=HASH    new code that a contract's owner may then upgrade to
module.NAME=VERSION         the next version of a module
engine=NAME                 another engine; engine.NAME=NUMBER are its own numbers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tools.amounts import format_kwh, format_tokens, parse_energy, parse_price
from vm.primitives.codec import Value
from vm.primitives.errors import InvalidInput
from vm.runtime import Call
from vm.system.governance_records import ENGINE, MODULE, PARAMETERS, Change

HINT: Final = "For example market.spot.penalty_price=0.2, chain.gas_price_micro=5, engine=pos."
NOTHING: Final = "none"


def _number(text: str) -> Value:
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("a whole number is needed", actual=text, hint=HINT)
    return int(text)


def _energy_kwh(text: str) -> Value:
    return None if text == NOTHING else parse_energy(f"{text}kWh")


def _text(text: str) -> Value:
    return text


_MARKET: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "line_policy": ("line_policy", _text),
    "penalty_payee": ("penalty_payee", _text),
    "penalty_price": ("penalty_price_micro_per_kwh", parse_price),
    "min_price": ("min_price_micro_per_kwh", parse_price),
    "max_price": ("max_price_micro_per_kwh", parse_price),
    "min_energy_kwh": ("min_energy_milli_wh", _energy_kwh),
    "default_pair_limit_kwh": ("default_pair_limit_milli_wh", _energy_kwh),
    "max_offers_per_member": ("max_offers_per_member", _number),
}
_DAY: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "retail": ("retail_micro_per_kwh", parse_price),
    "feed_in": ("feed_in_micro_per_kwh", parse_price),
    "penalty": ("penalty_micro_per_kwh", parse_price),
    "deposit": ("deposit_micro", parse_price),
    "max_energy_kwh": ("max_energy_milli_wh", _energy_kwh),
    "tolerance_percent": ("tolerance_percent", _number),
    "keep_days": ("keep_days", _number),
}
_AUCTION: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "deposit": ("deposit_micro", parse_price),
    "min_price": ("min_price_micro_per_kwh", parse_price),
    "max_price": ("max_price_micro_per_kwh", parse_price),
    "max_energy_kwh": ("max_energy_milli_wh", _energy_kwh),
}
_CERTIFICATES: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "unit_kwh": ("unit_milli_wh", _energy_kwh),
    "validity_days": ("validity_days", _number),
    "earned": ("earned_micro_per_kwh", parse_price),
    "lost": ("lost_micro_per_kwh", parse_price),
}
_QUOTA: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "penalty_price": ("penalty_price_micro_per_kwh", parse_price),
    "deposit_percent": ("deposit_percent", _number),
}
_RESPONSE: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "alpha_percent": ("alpha_percent", _number),
    "upstream_price": ("upstream_price_micro_per_kwh", parse_price),
    "past_intervals": ("past_intervals", _number),
    "highest": ("highest", _number),
    "tolerance_percent": ("tolerance_percent", _number),
}
_METERS: Final[dict[str, tuple[str, Callable[[str], Value]]]] = {
    "mean_days": ("mean_days", _number)
}
_TERMS: Final = {
    "meters": _METERS,
    "certificates": _CERTIFICATES,
    "quota": _QUOTA,
    "response": _RESPONSE,
}
_RULES: Final = {"market": _MARKET, "day": _DAY, "auction": _AUCTION}
_FORMATS: Final[dict[Callable[[str], Value], Callable[..., str]]] = {
    parse_price: format_tokens,
    _energy_kwh: format_kwh,
}
_SHOWN: Final[dict[str, dict[str, tuple[str, Callable[..., str]]]]] = {
    module: {field: (name, _FORMATS.get(read, str)) for name, (field, read) in rules.items()}
    for module, rules in {**_RULES, **_TERMS}.items()
}
"""The names and forms of people, by module and by the names of the chain."""


def parse_changes(texts: Sequence[str]) -> tuple[Change, ...]:
    """Return what the texts change, one change for each module, market or engine.

    Raises InvalidInput.
    """
    found: dict[tuple[str, str, str], dict[str, Value]] = {}
    engine = ""
    for text in texts:
        left, equals, right = text.partition("=")
        if not equals or not right:
            raise InvalidInput("a change is written NAME=VALUE", actual=text, hint=HINT)
        if left == "engine":
            engine = right
            found.setdefault((ENGINE, "", ""), {})
            continue
        key, name, value = _parse(left, right)
        if name in found.setdefault(key, {}):
            raise InvalidInput("this is given twice", actual=left)
        found[key][name] = value
    changes: list[Change] = []
    for (kind, name, subject), values in found.items():
        if kind == ENGINE and not engine:
            raise InvalidInput("an engine's numbers come with engine=NAME", hint=HINT)
        changes.append(
            Change(kind, name or engine, subject, tuple(sorted(values.items(), key=lambda p: p[0])))
        )
    return tuple(changes)


def proposal_call(change: Change, height: int, about: str) -> Call:
    """Return the call that proposes a change from a height on."""
    if change.kind == PARAMETERS:
        arguments = (change.name, change.subject, change.values, height, about)
        return "governance", "propose_parameters", arguments
    if change.kind == MODULE:
        version = dict(change.values)["version"]
        return "governance", "propose_module", (change.name, version, height, about)
    return "governance", "propose_engine", (change.name, change.values, height, about)


def vote_call(proposal: int, choice: str) -> Call:
    """Return the call that votes on a proposal."""
    return "governance", "vote", (proposal, choice)


def change_words(kind: str, name: str, subject: str, values: dict[str, object]) -> str:
    """Return a change as people would write it."""
    if kind == MODULE:
        return f"module.{name}={values.get('version')}"
    if kind == ENGINE:
        numbers = [f"engine.{key}={value}" for key, value in values.items()]
        return " ".join([f"engine={name}", *numbers])
    where = f"{name}.{subject}" if subject else name
    words: list[str] = []
    for key, value in values.items():
        shown, show = _SHOWN.get(name, {}).get(key, (key, str))
        words.append(f"{where}.{shown}={NOTHING if value is None else show(value)}")
    return " ".join(words)


def _parse(left: str, right: str) -> tuple[tuple[str, str, str], str, Value]:
    first, _, rest = left.partition(".")
    subject, _, name = rest.rpartition(".")
    rules = _RULES.get(first, {})
    if subject and name in rules:
        known, read = rules[name]
        return (PARAMETERS, first, subject), known, read(right)
    if subject and rules:
        raise InvalidInput(
            "it has no such rule that a vote may change",
            expected=", ".join(rules),
            actual=name,
        )
    if rest and first == "governance":
        value = right if rest in ("quorum", "threshold") else _number(right)
        return (PARAMETERS, "governance", ""), rest, value
    if first == "contracts" and subject and name == "code_hash":
        return (PARAMETERS, "contracts", subject), name, right
    if rest and first == "contracts" and not subject:
        value = right if rest == "deploy_roles" else _number(right)
        return (PARAMETERS, "contracts", ""), rest, value
    if not subject and name in _TERMS.get(first, {}):
        known, read = _TERMS[first][name]
        return (PARAMETERS, first, ""), known, read(right)
    if rest and first == "chain":
        return (PARAMETERS, "chain", ""), rest, _number(right)
    if rest and first == "engine":
        return (ENGINE, "", ""), rest, _number(right)
    if rest and first == "module":
        return (MODULE, rest, ""), "version", _number(right)
    raise InvalidInput("nothing that a vote may change", actual=left, hint=HINT)
