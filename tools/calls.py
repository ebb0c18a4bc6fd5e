"""The calls that people's commands make: one function each, giving module, method, arguments.

This is the tools' one place for the order and the kinds of the arguments that the modules in
`vm/system` and `market` declare.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def announce_quota(capacity_w: int, price_micro_per_kwh: int, times_ms: Sequence[int]) -> Call:
    """Announce a charging period; the times are its gates in the order of the method's arguments.

    Demands until, trade until, start, end, readings until; milliseconds UTC.
    """
    return "quota", "announce", (capacity_w, price_micro_per_kwh, *times_ms)


def demand_quota(number: int, power_w: int) -> Call:
    """Demand charging power in a round."""
    return "quota", "demand", (number, _positive(power_w, "power"))


def order_quota(side: str, number: int, power_w: int, price_micro_per_kwh: int) -> Call:
    """Bid for quota, or offer some; `side` is `bid` or `offer`."""
    return "quota", side, (number, _positive(power_w, "power"), price_micro_per_kwh)


def record_charge(number: int, station: bytes, energy_milli_wh: int) -> Call:
    """Record what a station charged in a round; for meters."""
    return "quota", "record", (number, station, energy_milli_wh)


def withdraw_deposit(number: int) -> Call:
    """Get the caller's deposit of a round back."""
    return "quota", "withdraw", (number,)


def revoke_meter(meter: bytes, final: tuple[int, int, int] | None) -> Call:
    """End a meter's registration, with its last interval and the registers at its end."""
    return "meters", "revoke", (meter, final or ())


def limit_connection(member: bytes, max_power_w: int) -> Call:
    """Register what a member's connection can carry, from the next interval on; for DSOs."""
    return "meters", "limit", (member, max_power_w)


def allow_reader(reader: bytes) -> Call:
    """Let an account or a contract read the caller's energies."""
    return "meters", "allow_reader", (reader,)


def forbid_reader(reader: bytes) -> Call:
    """End what `allow_reader` began."""
    return "meters", "forbid_reader", (reader,)


def open_response(orders_until_ms: int, responses_until_ms: int) -> Call:
    """Open a round of two settlements of demand response."""
    return "response", "open", (orders_until_ms, responses_until_ms)


def order_response(side: int, number: int, energy_milli_wh: int, price_micro_per_kwh: int) -> Call:
    """Want (side 0) or supply (side 1) energy in a round of demand response."""
    energy = _positive(energy_milli_wh, "energy")
    return "response", ("want", "supply")[side], (number, energy, price_micro_per_kwh)


def reduce_demand(number: int, energy_milli_wh: int, min_price_micro_per_kwh: int) -> Call:
    """Give up energy that the caller bought in a round's first settlement."""
    return "response", "reduce", (number, energy_milli_wh, min_price_micro_per_kwh)


def call_response(
    direction: str,
    profile_milli_wh: Sequence[int],
    price_micro_per_kwh: int,
    penalty_price_micro_per_kwh: int,
    times_ms: Sequence[int],
) -> Call:
    """Call for a profile; the times are: enrol until, start, end, readings until."""
    prices = (price_micro_per_kwh, penalty_price_micro_per_kwh)
    return "response", "call", (direction, tuple(profile_milli_wh), *prices, *times_ms)


def enrol_response(number: int, promised_milli_wh: Sequence[int]) -> Call:
    """Promise some of an event's profile."""
    return "response", "enrol", (number, tuple(promised_milli_wh))


def record_past_response(number: int, member: bytes, past: Sequence[Sequence[int]]) -> Call:
    """Record readings of comparable past intervals, for each interval of an event; for meters."""
    return "response", "record_past", (number, member, tuple([tuple(each) for each in past]))


def record_response(number: int, member: bytes, measured_milli_wh: Sequence[int]) -> Call:
    """Record readings of an event's intervals; for meters."""
    return "response", "record", (number, member, tuple(measured_milli_wh))


def place_order(auction: str, interval: int, side: str, steps: Sequence[tuple[int, int]]) -> Call:
    """Place an order, `buy` or `sell`, of steps of energy and price in an open auction."""
    return "auction", "place", (validate_name(auction), interval, side, tuple(steps))


def commit_order(
    auction: str, interval: int, commitment: bytes, cover_micro: int, cover_milli_wh: int
) -> Call:
    """Commit to an order of a sealed auction."""
    cover = (cover_micro, cover_milli_wh)
    return "auction", "commit", (validate_name(auction), interval, commitment, *cover)


def open_order(
    auction: str,
    interval: int,
    number: int,
    side: str,
    steps: Sequence[tuple[int, int]],
    salt: bytes,
) -> Call:
    """Open a commitment."""
    arguments = (validate_name(auction), interval, number, side, tuple(steps), salt)
    return "auction", "open", arguments


def cancel_order(auction: str, interval: int, number: int) -> Call:
    """Take an order or a commitment back."""
    return "auction", "cancel", (validate_name(auction), interval, number)


def join_day_market(market: str) -> Call:
    """Belong to a day market, where the caller's meter is settled from then on."""
    return "day", "join", (validate_name(market),)


def leave_day_market(market: str) -> Call:
    """Leave a day market after the interval that runs."""
    return "day", "leave", (validate_name(market),)


def place_day_order(
    market: str, interval: int, side: str, steps: Sequence[tuple[int, int]], last_gate: int
) -> Call:
    """Place an order, `buy` or `sell`, in a day market; it goes on up to the gate `last_gate`."""
    arguments = (validate_name(market), interval, side, _pairs(steps), last_gate)
    return "day", "place", arguments


def commit_day_order(
    market: str, interval: int, commitment: bytes, most_steps: int, cover_micro: int
) -> Call:
    """Commit to an order of a day market whose gate is sealed."""
    return "day", "commit", (validate_name(market), interval, commitment, most_steps, cover_micro)


def open_day_order(
    market: str,
    interval: int,
    number: int,
    side: str,
    steps: Sequence[tuple[int, int]],
    last_gate: int,
    salt: bytes,
) -> Call:
    """Open a commitment of a day market."""
    opened = (side, _pairs(steps), last_gate, salt)
    return "day", "open", (validate_name(market), interval, number, *opened)


def register_meter(
    meter: bytes, member: bytes, interval: int, registers: tuple[int, int], rollover_milli_wh: int
) -> Call:
    """Register a meter for a member's connection, its registers as `interval` begins; for DSOs."""
    return "meters", "register", (meter, member, interval, *registers, rollover_milli_wh)


def submit_registers(first_interval: int, registers: Sequence[tuple[int, int]]) -> Call:
    """Tell cumulative registers (injected, withdrawn) at the ends of intervals; for meters."""
    return "meters", "submit", (first_interval, tuple(registers))


def register_plant(
    plant: str, owner: bytes, member: bytes, technology: str, capacity_w: int
) -> Call:
    """Register a plant at a member's connection; for DSOs and operators."""
    names = validate_name(plant), owner, member, validate_name(technology)
    return "certificates", "register", (*names, capacity_w)


def close_plant(plant: str) -> Call:
    """End a plant's registration; for DSOs and operators."""
    return "certificates", "close", (validate_name(plant),)


def transfer_certificates(lot: int, count: int, to: bytes) -> Call:
    """Give certificates of a lot to the account `to`."""
    return "certificates", "transfer", (lot, count, to)


def retire_certificates(lot: int, count: int, beneficiary: bytes | str, purpose: str) -> Call:
    """Use up certificates of a lot for an account, or for somebody named."""
    return "certificates", "retire", (lot, count, beneficiary, purpose)


def enrol_for_coins() -> Call:
    """Have the caller's withdrawals count for green-choice coins."""
    return "certificates", "enrol", ()


def leave_coins() -> Call:
    """Let the caller's withdrawals count no more."""
    return "certificates", "leave", ()


def _pairs(steps: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple([(energy, price) for energy, price in steps])


def _positive(amount: int, what: str) -> int:
    if amount <= 0:
        raise InvalidInput(
            f"the {what} must be more than zero",
            code="invalid_amount",
            hint="Give a positive amount.",
        )
    return amount
