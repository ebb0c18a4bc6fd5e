"""The calls that people's commands make: one function each, giving module, method, arguments.

This is the tools' one place for the order and the kinds of the arguments that the modules in
`vm/system` and `market` declare.
"""

from __future__ import annotations

from vm.primitives.address import validate_name
from vm.primitives.codec import Value
from vm.primitives.errors import InvalidInput
from vm.runtime import Call

MAX_MEMO_BYTES = 64


def transfer(to: bytes, amount_micro: int, memo: str = "") -> Call:
    """Move money, in micro-tokens, to the account `to`, with at most 64 bytes of memo."""
    if len(memo.encode("utf-8", "surrogateescape")) > MAX_MEMO_BYTES:
        raise InvalidInput("the memo is too long", expected=f"at most {MAX_MEMO_BYTES} bytes")
    return "accounts", "transfer", (to, _positive(amount_micro, "amount"), memo)


def transfer_energy(to: bytes, energy_milli_wh: int) -> Call:
    """Move energy, in milliwatt-hours, to the account `to`."""
    return "accounts", "transfer_energy", (to, _positive(energy_milli_wh, "energy"))


def post_offer(market: str, interval: int, energy_milli_wh: int, price_micro_per_kwh: int) -> Call:
    """Offer energy for delivery in `interval` at a price in micro-tokens per kWh."""
    energy = _positive(energy_milli_wh, "energy")
    return "market", "post", (validate_name(market), interval, energy, price_micro_per_kwh)


def update_offer(
    market: str, offer_id: int, energy_milli_wh: int, price_micro_per_kwh: int
) -> Call:
    """Change the caller's standing offer to this energy and price."""
    energy = _positive(energy_milli_wh, "energy")
    return "market", "update", (validate_name(market), offer_id, energy, price_micro_per_kwh)


def withdraw_offer(market: str, offer_id: int) -> Call:
    """Take the caller's standing offer back."""
    return "market", "withdraw", (validate_name(market), offer_id)


def buy(
    market: str,
    interval: int,
    energy_milli_wh: int,
    max_price_micro_per_kwh: int,
    *,
    allow_partial: bool = False,
) -> Call:
    """Buy energy, cheapest first, at no more than a price; in part only if allowed."""
    energy = _positive(energy_milli_wh, "energy")
    return (
        "market",
        "buy",
        (validate_name(market), interval, energy, max_price_micro_per_kwh, allow_partial),
    )


def admit_member(
    key: bytes,
    name: str,
    roles_mask: int,
    *,
    bus: str = "",
    node_key: bytes = b"",
    node_proof: bytes = b"",
    vote_key: bytes = b"",
) -> Call:
    """Admit a member whose account follows from `key`; for operators."""
    return (
        "members",
        "admit",
        (key, validate_name(name), roles_mask, bus, node_key, node_proof, vote_key),
    )


def suspend_member(account: bytes) -> Call:
    """Keep a member from transacting, peering and validating; for operators."""
    return "members", "suspend", (account,)


def reinstate_member(account: bytes) -> Call:
    """End a member's suspension; for operators."""
    return "members", "reinstate", (account,)


def remove_member(account: bytes) -> Call:
    """Remove a member for good; for operators."""
    return "members", "remove", (account,)


def rotate_key(new_key: bytes) -> Call:
    """Replace the key of the caller's account."""
    return "members", "rotate_key", (new_key,)


def reset_key(account: bytes, new_key: bytes) -> Call:
    """Replace the key of a member that lost its own; for operators."""
    return "members", "reset_key", (account, new_key)


def set_node_key(node_key: bytes, node_proof: bytes) -> Call:
    """Enter the key of the caller's node and the proof of its certificate."""
    return "members", "set_node_key", (node_key, node_proof)


def set_vote_key(vote_key: bytes) -> Call:
    """Replace the key with which the caller votes as a validator."""
    return "members", "set_vote_key", (vote_key,)


def set_roles(account: bytes, roles: int) -> Call:
    """Give a member other roles, a bit mask over the network's list."""
    return "members", "set_roles", (account, roles)


def set_bus(account: bytes, bus: str) -> Call:
    """Record at which bus a member is connected; empty for none."""
    return "members", "set_bus", (account, bus)


def mint(to: bytes, amount_micro: int) -> Call:
    """Bring money, in micro-tokens, into being in an account."""
    return "accounts", "mint", (to, _positive(amount_micro, "amount"))


def mint_energy(to: bytes, energy_milli_wh: int) -> Call:
    """Credit energy, in milliwatt-hours, that was produced."""
    return "accounts", "mint_energy", (to, _positive(energy_milli_wh, "energy"))


def bond(amount_micro: int) -> Call:
    """Put the caller's own stake, in micro-units, behind the caller as a validator."""
    return "staking", "bond", (_positive(amount_micro, "stake"),)


def delegate(validator: bytes, amount_micro: int) -> Call:
    """Put the caller's stake behind a validator."""
    return "staking", "delegate", (validator, _positive(amount_micro, "stake"))


def unbond(validator: bytes, amount_micro: int) -> Call:
    """Take the caller's stake back from a validator."""
    return "staking", "unbond", (validator, _positive(amount_micro, "stake"))


def withdraw_rewards(validator: bytes) -> Call:
    """Draw what the caller's stake behind a validator earned."""
    return "staking", "withdraw", (validator,)


def set_commission(percent: int) -> Call:
    """Keep a part of the rewards of the stake behind the caller."""
    return "staking", "set_commission", (percent,)


def grant_points(to: bytes, amount_micro: int) -> Call:
    """Grant a member points for what it did for the grid; for operators."""
    return "incentives", "grant", (to, _positive(amount_micro, "grant"))


def deploy_contract(name: str, code: bytes, source: str, arguments: tuple[Value, ...]) -> Call:
    """Enter a contract under a name, with the arguments of its `@init`."""
    return "contracts", "deploy", (validate_name(name), code, source, arguments)


def call_contract(
    contract: bytes,
    function: str,
    arguments: tuple[Value, ...],
    *,
    money_micro: int = 0,
    energy_milli_wh: int = 0,
) -> Call:
    """Run an exported function; it may take at most the attached money and energy."""
    values = (contract, validate_name(function), arguments, money_micro, energy_milli_wh)
    return "contracts", "call", values


def upgrade_contract(
    contract: bytes, code: bytes, source: str, arguments: tuple[Value, ...]
) -> Call:
    """Replace the code of the caller's contract."""
    return "contracts", "upgrade", (contract, code, source, arguments)


def freeze_contract(contract: bytes) -> Call:
    """Give up for good that the caller's contract can be upgraded."""
    return "contracts", "freeze", (contract,)


def set_contract_owner(contract: bytes, owner: bytes) -> Call:
    """Hand the caller's contract over."""
    return "contracts", "set_owner", (contract, owner)


def remove_contract(contract: bytes) -> Call:
    """Remove the caller's contract, which holds nothing any more."""
    return "contracts", "remove", (contract,)


def _positive(amount: int, what: str) -> int:
    if amount <= 0:
        raise InvalidInput(
            f"the {what} must be more than zero",
            code="invalid_amount",
            hint="Give a positive amount.",
        )
    return amount
