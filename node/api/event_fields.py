"""The names of the values that events carry, and whose money and energy they move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vm.context import Event
from vm.primitives.codec import Encodable

TRADE: Final = ("market", "trade")
PENALTY: Final = ("market", "penalty")
CONTRACT_EVENT: Final = ("contracts", "event")
"""What a contract tells: its address, the event's name, and values that its code names."""

_OFFER = ("market", "seller", "offer_id", "interval", "energy_milli_wh")
_STAKE = ("account", "validator")
_ROUND = ("area", "round")
_STATION = ("round", "station")
_ORDER = ("auction", "interval", "order", "member")
_DAY_ORDER = ("market", "interval", "order", "member")
_DAY_GATE = ("market", "interval", "gate")
_DAY_AWARD = (
    *_DAY_GATE,
    "order",
    "member",
    "energy_milli_wh",
    "amount_micro",
    "residual_milli_wh",
)
_MEMBER = ("round", "member")
_ENERGY = ("member", "interval")
_DIFFERENCE = ("injected_difference_milli_wh", "withdrawn_difference_milli_wh")
_MEMBER_TRADE = (*_MEMBER, "energy_milli_wh", "amount_micro")
_CERTIFICATES: Final = (
    "lot",
    "plant",
    "first_serial",
    "count",
    "owner",
    "technology",
    "produced_from_ms",
    "produced_until_ms",
)
EVENT_FIELDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("accounts", "transfer"): ("from", "to", "amount_micro", "memo"),
    ("accounts", "transfer_energy"): ("from", "to", "energy_milli_wh"),
    ("accounts", "mint"): ("to", "amount_micro"),
    ("accounts", "burn"): ("from", "amount_micro"),
    ("reward", "mint"): ("to", "amount_micro"),
    ("accounts", "mint_energy"): ("to", "energy_milli_wh"),
    ("accounts", "burn_energy"): ("from", "energy_milli_wh"),
    ("members", "admit"): ("account", "name", "roles"),
    ("members", "suspend"): ("account",),
    ("members", "reinstate"): ("account",),
    ("members", "remove"): ("account",),
    ("members", "set_roles"): ("account", "roles"),
    ("members", "set_bus"): ("account", "bus"),
    ("members", "rotate_key"): ("account", "new_key"),
    ("members", "set_node_key"): ("account", "node_key"),
    ("members", "set_vote_key"): ("account", "vote_key"),
    ("governance", "propose"): ("proposal", "proposer", "kind", "name", "subject", "height"),
    ("governance", "vote"): ("proposal", "voter", "choice"),
    ("governance", "outcome"): ("proposal", "status", "yes", "no", "abstain", "eligible"),
    ("governance", "apply"): ("proposal", "height", "kind", "name", "subject"),
    ("governance", "void"): ("proposal", "height", "code"),
    ("members", "expel"): ("account",),
    ("incentives", "grant"): ("account", "amount_micro"),
    ("staking", "stake"): (*_STAKE, "amount_micro"),
    ("staking", "unbond"): (*_STAKE, "amount_micro", "due_ms"),
    ("staking", "unbonded"): (*_STAKE, "amount_micro", "slashed_micro"),
    ("staking", "withdraw"): (*_STAKE, "amount_micro"),
    ("staking", "set_commission"): ("account", "percent"),
    ("staking", "slash"): ("account", "height", "amount_micro"),
    ("staking", "pay_in"): ("from", "amount_micro"),
    ("staking", "pay_out"): ("to", "amount_micro"),
    ("staking", "mint"): ("to", "amount_micro"),
    ("staking", "burn"): ("from", "amount_micro"),
    ("contracts", "deploy"): ("contract", "name", "deployer", "code_hash"),
    ("contracts", "upgrade"): ("contract", "owner", "code_hash"),
    ("contracts", "freeze"): ("contract", "owner"),
    ("contracts", "set_owner"): ("contract", "owner"),
    ("contracts", "remove"): ("contract", "owner"),
    ("contracts", "approve"): ("contract", "code_hash"),
    ("contracts", "deposit"): ("from", "contract", "amount_micro"),
    ("contracts", "refund"): ("contract", "to", "amount_micro"),
    ("consensus", "equivocation"): ("account", "height", "kind"),
    ("market", "post"): (*_OFFER, "price_micro_per_kwh"),
    ("market", "update"): (*_OFFER, "price_micro_per_kwh"),
    ("market", "withdraw"): _OFFER,
    ("market", "expire"): _OFFER,
    TRADE: (
        "market",
        "buyer",
        "seller",
        "offer_id",
        "interval",
        "energy_milli_wh",
        "price_micro_per_kwh",
        "penalty_micro_per_kwh",
        "amount_micro",
    ),
    PENALTY: ("market", "payee", "buyer", "offer_id", "amount_micro"),
    ("dispatch", "register_unit"): ("area", "unit", "owner", "bus", "kind"),
    ("dispatch", "retire_unit"): ("area", "unit", "owner"),
    ("dispatch", "bid"): ("area", "unit", "owner", "first_interval", "intervals"),
    ("dispatch", "leave_out"): ("area", "unit", "owner"),
    ("dispatch", "open_round"): (
        *_ROUND,
        "first_interval",
        "intervals",
        "deadline_ms",
        "problem_hash",
    ),
    ("dispatch", "skip_round"): ("area", "first_interval", "code"),
    ("dispatch", "prove"): (
        *_ROUND,
        "submitter",
        "root",
        "gap_twice",
        "turnover_twice",
        "reward_micro",
    ),
    ("dispatch", "refuse"): (*_ROUND, "submitter", "code", "bond_micro"),
    ("dispatch", "fall_back"): (*_ROUND, "price_source", "root"),
    ("dispatch", "move_levels"): (*_ROUND, "storages"),
    ("dispatch", "keep_levels"): (*_ROUND, "storages"),
    ("dispatch", "levels_pending"): (*_ROUND, "earlier_round"),
    ("dispatch", "settle"): (*_ROUND, "unit", "owner", "amount_micro"),
    ("dispatch", "congestion_rent"): (*_ROUND, "line", "owner", "amount_micro"),
    ("dispatch", "arrears"): (*_ROUND, "owner", "owed_micro"),
    ("dispatch", "settle_round"): (
        *_ROUND,
        "collected_micro",
        "paid_micro",
        "rent_micro",
        "congestion_micro",
    ),
    ("dispatch", "fund"): ("area", "from", "amount_micro"),
    ("dispatch", "pay_arrears"): ("area", "from", "amount_micro"),
    ("market", "set_pair_limit"): ("market", "first", "second", "limit_milli_wh"),
    ("market", "set_line_rating"): ("market", "line", "rating_w"),
    ("quota", "announce"): (
        "round",
        "dso",
        "capacity_w",
        "price_micro_per_kwh",
        "demand_until_ms",
        "trade_until_ms",
        "start_ms",
        "end_ms",
        "readings_until_ms",
    ),
    ("quota", "demand"): (*_STATION, "demand_w", "deposit_micro"),
    ("quota", "allocate"): (*_STATION, "demand_w", "quota_w", "fee_micro"),
    ("quota", "order"): (*_STATION, "side", "power_w", "price_micro_per_kwh"),
    ("quota", "cancel"): _STATION,
    ("quota", "bought"): (*_STATION, "power_w", "amount_micro", "quota_w"),
    ("quota", "sold"): (*_STATION, "power_w", "amount_micro", "quota_w"),
    ("quota", "record"): (*_STATION, "energy_milli_wh", "quota_w"),
    ("quota", "unread"): _STATION,
    ("quota", "wait"): ("round", "stations", "until_ms"),
    ("quota", "unproved"): (*_STATION, "proved_milli_wh", "assumed_milli_wh"),
    ("quota", "penalty"): (*_STATION, "amount_micro", "unpaid_micro"),
    ("quota", "forgive"): ("dso", "station", "amount_micro"),
    ("quota", "withdraw"): (*_STATION, "amount_micro"),
    ("quota", "pay"): ("round", "from", "to", "amount_micro"),
    ("quota", "surplus"): ("round", "to", "amount_micro"),
    ("quota", "stage"): ("round", "stage"),
    ("meters", "register"): ("meter", "member", "interval"),
    ("meters", "revoke"): ("meter", "member", "end_interval"),
    ("meters", "limit"): ("member", "max_power_w", "interval"),
    ("meters", "submit"): ("meter", "member", "interval", "readings", "new"),
    ("meters", "estimated"): (*_ENERGY, "injected_milli_wh", "withdrawn_milli_wh", "quality"),
    ("meters", "corrected"): (*_ENERGY, *_DIFFERENCE),
    ("meters", "true_up"): ("member", "meter", *_DIFFERENCE),
    ("meters", "closed"): (
        "interval",
        "connections",
        "estimated",
        "injected_milli_wh",
        "withdrawn_milli_wh",
        "injecting",
        "withdrawing",
    ),
    ("meters", "allow_reader"): ("member", "reader"),
    ("meters", "forbid_reader"): ("member", "reader"),
    ("certificates", "register"): (
        "plant_number",
        "plant",
        "owner",
        "member",
        "technology",
        "capacity_w",
        "interval",
    ),
    ("certificates", "close"): ("plant", "end_interval"),
    ("certificates", "set_owner"): ("plant", "from", "to"),
    ("certificates", "issue"): (
        "lot",
        "plant",
        "owner",
        "first_serial",
        "count",
        "produced_from_ms",
        "produced_until_ms",
        "expires_ms",
    ),
    ("certificates", "transfer"): ("lot", "new_lot", "first_serial", "count", "from", "to"),
    ("certificates", "retire"): (*_CERTIFICATES, "beneficiary", "purpose"),
    ("certificates", "expire"): _CERTIFICATES,
    ("certificates", "enrol"): ("member", "interval"),
    ("certificates", "leave"): ("member", "end_interval"),
    ("certificates", "coins"): ("interval", "members"),
    ("certificates", "credit"): ("period", "plants"),
    ("certificates", "correct"): ("period", "plants"),
    ("response", "open"): ("round", "orders_until_ms", "responses_until_ms"),
    ("response", "order"): (*_MEMBER, "side", "energy_milli_wh", "price_micro_per_kwh"),
    ("response", "retract"): _MEMBER,
    ("response", "give_up"): (*_MEMBER, "energy_milli_wh", "price_micro_per_kwh"),
    ("response", "first_bought"): _MEMBER_TRADE,
    ("response", "first_sold"): _MEMBER_TRADE,
    ("response", "second_bought"): _MEMBER_TRADE,
    ("response", "second_sold"): _MEMBER_TRADE,
    ("response", "price"): (
        "round",
        "price_half_micro_per_kwh",
        "response_price_half_micro_per_kwh",
    ),
    ("response", "residual"): (*_MEMBER, "energy_milli_wh"),
    ("response", "settled"): ("round", "energy_milli_wh"),
    ("response", "surplus"): ("round", "to", "amount_micro"),
    ("response", "call"): (
        "number",
        "caller",
        "direction",
        "energy_milli_wh",
        "price_micro_per_kwh",
    ),
    ("response", "enrol"): ("number", "member", "energy_milli_wh", "deposit_micro"),
    ("response", "settle"): (
        "number",
        "member",
        "energy_milli_wh",
        "reward_micro",
        "penalty_micro",
    ),
    ("response", "unread"): ("number", "member"),
    ("response", "wait"): ("number", "members", "until_ms"),
    ("response", "pay"): ("number", "from", "to", "amount_micro"),
    ("response", "ended"): ("number",),
    ("auction", "place"): (*_ORDER, "side", "steps"),
    ("auction", "commit"): (*_ORDER, "cover_micro", "cover_milli_wh"),
    ("auction", "open"): (*_ORDER, "side", "steps"),
    ("auction", "cancel"): _ORDER,
    ("auction", "forfeit"): (*_ORDER, "to", "amount_micro"),
    ("auction", "release"): _ORDER,
    ("auction", "bought"): (*_ORDER, "energy_milli_wh", "amount_micro", "residual_milli_wh"),
    ("auction", "sold"): (*_ORDER, "energy_milli_wh", "amount_micro", "residual_milli_wh"),
    ("auction", "surplus"): ("auction", "interval", "to", "amount_micro"),
    ("auction", "price"): ("auction", "interval", "bus", "price_half_micro_per_kwh"),
    ("auction", "flow"): ("auction", "interval", "line", "energy_milli_wh"),
    ("auction", "clear"): (
        "auction",
        "interval",
        "energy_milli_wh",
        "buyer_price_half_micro_per_kwh",
        "seller_price_half_micro_per_kwh",
        "surplus_micro",
        "seed",
    ),
    ("day", "join"): ("market", "member", "interval"),
    ("day", "leave"): ("market", "member", "end_interval"),
    ("day", "left"): ("market", "member"),
    ("day", "place"): (*_DAY_ORDER, "side", "steps", "gate"),
    ("day", "commit"): (*_DAY_ORDER, "cover_micro", "gate"),
    ("day", "open"): (*_DAY_ORDER, "side", "steps", "gate"),
    ("day", "cancel"): _DAY_ORDER,
    ("day", "forfeit"): (*_DAY_ORDER, "to", "amount_micro"),
    ("day", "release"): _DAY_ORDER,
    ("day", "bought"): _DAY_AWARD,
    ("day", "sold"): _DAY_AWARD,
    ("day", "price"): (*_DAY_GATE, "bus", "price_half_micro_per_kwh"),
    ("day", "flow"): (*_DAY_GATE, "line", "energy_milli_wh"),
    ("day", "clear"): (
        *_DAY_GATE,
        "energy_milli_wh",
        "buyer_price_half_micro_per_kwh",
        "seller_price_half_micro_per_kwh",
        "surplus_micro",
        "bids_milli_wh",
        "offers_milli_wh",
        "seed",
    ),
    ("day", "settle"): (
        "market",
        "interval",
        "part",
        "members",
        "contracted_milli_wh",
        "injected_milli_wh",
        "withdrawn_milli_wh",
        "from_upstream_milli_wh",
        "to_upstream_milli_wh",
        "penalties_micro",
        "surplus_micro",
        "upstream_micro",
        "unpaid_micro",
        "ecoin_milli_wh",
    ),
    ("day", "pay_arrears"): ("market", "from", "to", "amount_micro"),
    ("day", "return_ecoins"): ("market", "member", "energy_milli_wh"),
    ("market", "set_policy"): (
        "market",
        "policy",
        "penalty_price_micro_per_kwh",
        "penalty_payee",
    ),
}
"""The fields of each event by module and name."""
_ANY_MODULE: Final[Mapping[str, tuple[str, ...]]] = {
    "approval": ("action", "reached", "needed"),
    "validator": ("account", "power", "vote_key", "first_height"),
}
# By event: the account's field, the field of the amount, and whether it comes (1) or goes (-1).
_MONEY: Final[Mapping[tuple[str, str], tuple[tuple[str, str, int], ...]]] = {
    ("accounts", "transfer"): (("from", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("accounts", "mint"): (("to", "amount_micro", 1),),
    ("accounts", "burn"): (("from", "amount_micro", -1),),
    ("reward", "mint"): (("to", "amount_micro", 1),),
    ("contracts", "deposit"): (("from", "amount_micro", -1), ("contract", "amount_micro", 1)),
    ("contracts", "refund"): (("contract", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("quota", "pay"): (("from", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("quota", "surplus"): (("to", "amount_micro", 1),),
    ("auction", "forfeit"): (("member", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("auction", "bought"): (("member", "amount_micro", -1),),
    ("auction", "sold"): (("member", "amount_micro", 1),),
    ("auction", "surplus"): (("to", "amount_micro", 1),),
    ("day", "forfeit"): (("member", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("day", "pay_arrears"): (("from", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("response", "pay"): (("from", "amount_micro", -1), ("to", "amount_micro", 1)),
    ("response", "surplus"): (("to", "amount_micro", 1),),
    ("response", "first_bought"): (("member", "amount_micro", -1),),
    ("response", "second_bought"): (("member", "amount_micro", -1),),
    ("response", "first_sold"): (("member", "amount_micro", 1),),
    ("response", "second_sold"): (("member", "amount_micro", 1),),
    ("quota", "bought"): (("station", "amount_micro", -1),),
    ("quota", "sold"): (("station", "amount_micro", 1),),
    ("staking", "pay_in"): (("from", "amount_micro", -1),),
    ("staking", "pay_out"): (("to", "amount_micro", 1),),
    TRADE: (("buyer", "amount_micro", -1), ("seller", "amount_micro", 1)),
    PENALTY: (("payee", "amount_micro", 1),),
    ("dispatch", "prove"): (("submitter", "reward_micro", 1),),
    ("dispatch", "refuse"): (("submitter", "bond_micro", -1),),
    ("dispatch", "settle"): (("owner", "amount_micro", 1),),
    ("dispatch", "congestion_rent"): (("owner", "amount_micro", 1),),
    ("dispatch", "fund"): (("from", "amount_micro", -1),),
    ("dispatch", "pay_arrears"): (("from", "amount_micro", -1),),
}
_ENERGY: Final[Mapping[tuple[str, str], tuple[tuple[str, str, int], ...]]] = {
    ("accounts", "transfer_energy"): (
        ("from", "energy_milli_wh", -1),
        ("to", "energy_milli_wh", 1),
    ),
    ("accounts", "mint_energy"): (("to", "energy_milli_wh", 1),),
    ("accounts", "burn_energy"): (("from", "energy_milli_wh", -1),),
    ("auction", "bought"): (("member", "energy_milli_wh", 1),),
    ("auction", "sold"): (("member", "energy_milli_wh", -1),),
    ("response", "first_bought"): (("member", "energy_milli_wh", 1),),
    ("response", "second_bought"): (("member", "energy_milli_wh", 1),),
    ("response", "first_sold"): (("member", "energy_milli_wh", -1),),
    ("response", "second_sold"): (("member", "energy_milli_wh", -1),),
    TRADE: (("buyer", "energy_milli_wh", 1), ("seller", "energy_milli_wh", -1)),
}


def name_values(
    module: str, event: str, values: tuple[Encodable, ...]
) -> list[tuple[str, Encodable]]:
    """Return an event's values with their names; with their places where no names are known."""
    names = EVENT_FIELDS.get((module, event)) or _ANY_MODULE.get(event)
    if names is None or len(names) != len(values):
        return [(str(place), value) for place, value in enumerate(values)]
    return list(zip(names, values, strict=True))


def moved(account: bytes, events: Iterable[Event]) -> tuple[int | None, int | None]:
    """Return the money (micro-tokens) and energy (milliwatt-hours) that events brought an account.

    Negative for what it gave, None where no event tells of any. Energy counts whether it is set
    aside or not. Penalties that go to others precede their trade and are part of its amount.
    """
    money: int | None = None
    energy: int | None = None
    withheld = 0
    for module, name, values in events:
        kind = (module, name)
        fields = dict(name_values(module, name, values))
        if kind == PENALTY:
            withheld += _amount(fields, "amount_micro")
        for field, amount, sign in _MONEY.get(kind, ()):
            if fields.get(field) == account:
                money = (money or 0) + sign * _amount(fields, amount)
                if kind == TRADE and field == "seller":
                    money -= withheld
        for field, amount, sign in _ENERGY.get(kind, ()):
            if fields.get(field) == account:
                energy = (energy or 0) + sign * _amount(fields, amount)
        if kind == TRADE:
            withheld = 0
    return money, energy


def _amount(fields: Mapping[str, Encodable], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0
