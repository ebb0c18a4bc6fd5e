"""The market module: methods that post, change, withdraw and buy offers, and set limits.

A `post` reserves the seller's energy; `buy` takes the cheapest usable offers (`market/matching.py`)
and settles them at once (`market/settlement.py`). All methods plan by reading and write at the end,
and each call is undone as a whole when it fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.book import insert_offer, offer_entry, offer_place, remove_offer
from market.closing import CLOSE, clear_interval, close_interval, decode_payload, open_gate
from market.contract_interface import market_interfaces
from market.governing import changed_market
from market.intervals import validate_open
from market.matching import Matching
from market.network import MAX_RATING_W
from market.records import (
    BUS_NAME_SPACE,
    LINE_NAME_SPACE,
    LINE_SPACE,
    MARK,
    MARKET_INDEX,
    MARKET_SPACE,
    OFFER_SPACE,
    PAIR_LIMIT_INDEX,
    PAIR_LIMIT_SPACE,
    PAYEE_EDC,
    PAYEE_NAMES,
    PENALTY,
    POLICY_NAMES,
    USAGE_INDEX,
    USAGE_SPACE,
    MarketConfig,
    Offer,
    bus_key,
    decode_line,
    decode_market,
    decode_offer,
    line_key,
    market_key,
    offer_key,
    pair_of,
)
from market.section import MarketSection, read_section
from market.settlement import settle
from vm.arguments import (
    ACCOUNT,
    AMOUNT,
    BOOLEAN,
    NAME,
    UINT63,
    Argument,
    ArgumentKind,
    either,
    integer,
)
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.accounts import ACTIVE, load_account, save_account
from vm.system.approvals import approve
from vm.system.members import NAME_SPACE, load_member

SELLER_ROLES: Final = ("prosumer", "supplier", "aggregator")
BUYER_ROLES: Final = ("consumer", "prosumer", "aggregator", "supplier")
LIMIT_ROLES: Final = ("operator", "dso", "edc")
MAX_KNOWN_CONFIGS: Final = 256

NOTHING = ArgumentKind("nothing", lambda value: value is None)
POLICY = ArgumentKind(" or ".join(POLICY_NAMES), lambda value: value in POLICY_NAMES)
PAYEE = ArgumentKind(" or ".join(PAYEE_NAMES), lambda value: value in PAYEE_NAMES)


class MarketModule(Module):
    """Named markets of posted offers, over the lines of a feeder or between pairs of members."""

    name = "market"

    def __init__(self) -> None:
        # Decoded market leaves by their bytes, of which they are a pure function.
        self._configs: dict[bytes, MarketConfig] = {}

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the markets of genesis; members are there already. Raises InvalidGenesis."""
        for market in read_section(section, lambda name: ctx.get(NAME_SPACE + name.encode())):
            _write_market(ctx, market)

    @method(
        Argument("market", NAME),
        Argument("interval", UINT63),
        Argument("energy_milli_wh", AMOUNT),
        Argument("price_micro_per_kwh", UINT63),
        roles=SELLER_ROLES,
    )
    def post(
        self,
        ctx: CallContext,
        market: str,
        interval: int,
        energy_milli_wh: int,
        price_micro_per_kwh: int,
    ) -> Encodable:
        """Offer energy, which is reserved; returns the offer's id."""
        config = self._config(ctx, market)
        validate_open(config, interval, ctx.time_ms)
        _validate_price(config, price_micro_per_kwh)
        _validate_energy(config, energy_milli_wh)
        leaf = load_account(ctx, ctx.caller)
        leaf.reserve_energy(energy_milli_wh)
        bus = _find_bus(ctx, config) if config.buses else 0
        number = ctx.next_number("offer")
        offer = Offer(
            config.number,
            interval,
            ctx.caller,
            bus,
            price_micro_per_kwh,
            number,
            energy_milli_wh,
        )
        if interval:
            open_gate(ctx, config, interval)
        save_account(ctx, ctx.caller, leaf)
        ctx.put(offer_key(number), offer.encode())
        most = config.max_offers_per_member
        insert_offer(ctx, offer_place(offer), offer_entry(offer, number), most=most)
        ctx.emit("post", market, ctx.caller, number, interval, energy_milli_wh, price_micro_per_kwh)
        return number

    @method(
        Argument("market", NAME),
        Argument("offer_id", UINT63),
        Argument("energy_milli_wh", AMOUNT),
        Argument("price_micro_per_kwh", UINT63),
        roles=SELLER_ROLES,
    )
    def update(
        self,
        ctx: CallContext,
        market: str,
        offer_id: int,
        energy_milli_wh: int,
        price_micro_per_kwh: int,
    ) -> Encodable:
        """Change the caller's offer to this energy and price.

        An offer keeps its place in time only if nothing but its energy falls: at another price,
        with more energy, or from another bus it queues anew. It may not fall below the market's
        least energy, unless that much is all that purchases have left of it.
        """
        config = self._config(ctx, market)
        offer = _load_offer(ctx, config, offer_id)
        _validate_own(ctx, offer)
        validate_open(config, offer.interval, ctx.time_ms)
        _validate_price(config, price_micro_per_kwh)
        bus = _find_bus(ctx, config) if config.buses else 0
        more = energy_milli_wh - offer.energy_milli_wh
        if more:
            _validate_energy(config, energy_milli_wh)
            leaf = load_account(ctx, ctx.caller)
            if more > 0:
                leaf.reserve_energy(more)
            else:
                leaf.release_energy(-more)
            save_account(ctx, ctx.caller, leaf)
        queues_anew = more > 0 or (bus, price_micro_per_kwh) != (
            offer.bus,
            offer.price_micro_per_kwh,
        )
        if queues_anew:
            remove_offer(ctx, offer_place(offer), offer_entry(offer, offer_id))
            offer.bus = bus
            offer.price_micro_per_kwh = price_micro_per_kwh
            offer.sequence = ctx.next_number("offer")
            insert_offer(ctx, offer_place(offer), offer_entry(offer, offer_id))
        offer.energy_milli_wh = energy_milli_wh
        ctx.put(offer_key(offer_id), offer.encode())
        ctx.emit(
            "update",
            market,
            ctx.caller,
            offer_id,
            offer.interval,
            energy_milli_wh,
            price_micro_per_kwh,
        )
        return None

    @method(Argument("market", NAME), Argument("offer_id", UINT63))
    def withdraw(self, ctx: CallContext, market: str, offer_id: int) -> Encodable:
        """Take the caller's offer back; its energy is free again."""
        config = self._config(ctx, market)
        offer = _load_offer(ctx, config, offer_id)
        _validate_own(ctx, offer)
        _withdraw(ctx, config, offer, offer_id)
        return None

    @method(Argument("market", NAME), Argument("offer_id", UINT63), roles=("operator",))
    def withdraw_inactive(self, ctx: CallContext, market: str, offer_id: int) -> Encodable:
        """Take back an offer of a member that is suspended or removed, which nobody can buy."""
        config = self._config(ctx, market)
        offer = _load_offer(ctx, config, offer_id)
        if load_account(ctx, offer.seller).status == ACTIVE:
            raise CallError(
                "still_active", "its seller is active and withdraws it", actual=offer.seller
            )
        _withdraw(ctx, config, offer, offer_id)
        return None

    @method(
        Argument("market", NAME),
        Argument("interval", UINT63),
        Argument("energy_milli_wh", AMOUNT),
        Argument("max_price_micro_per_kwh", UINT63),
        Argument("allow_partial", BOOLEAN),
        roles=BUYER_ROLES,
    )
    def buy(
        self,
        ctx: CallContext,
        market: str,
        interval: int,
        energy_milli_wh: int,
        max_price_micro_per_kwh: int,
        allow_partial: bool,  # noqa: FBT001  # an argument of the transaction format
    ) -> Encodable:
        """Buy energy, cheapest first, at no price above the maximum, penalties included.

        All or nothing unless `allow_partial`; then it also ends, with what it has, where one
        transaction cannot carry more fills or its gas goes no further. Returns the fills: each
        (offer id, seller, energy, price with penalty, penalty in it, amount).
        """
        config = self._config(ctx, market)
        validate_open(config, interval, ctx.time_ms)
        _validate_energy(config, energy_milli_wh)
        bus = _find_bus(ctx, config) if config.buses else 0
        matching = Matching(ctx, config, interval, max_price=max_price_micro_per_kwh, bus=bus)
        missing = matching.run(energy_milli_wh, partial=allow_partial)
        if matching.is_full and not (allow_partial and matching.fills):
            raise CallError(
                "too_many_fills",
                "the purchase takes more offers than one transaction carries",
                expected=energy_milli_wh,
                actual=energy_milli_wh - missing,
                hint="Ask for less, or allow a partial purchase and repeat it.",
            )
        if missing == energy_milli_wh and matching.saw_own:
            raise CallError("own_offer", "only the buyer's own offers are to be had")
        if missing == energy_milli_wh or (missing and not allow_partial):
            raise CallError(
                "not_enough_offers",
                "the offers within price and limits do not cover the purchase",
                expected=energy_milli_wh,
                actual=energy_milli_wh - missing,
                hint="Raise the maximum price, ask for less, or allow a partial purchase.",
            )
        return settle(ctx, config, interval, matching)

    @method(
        Argument("market", NAME),
        Argument("first", ACCOUNT),
        Argument("second", ACCOUNT),
        Argument("limit_milli_wh", either(UINT63, NOTHING)),
        roles=LIMIT_ROLES,
    )
    def set_pair_limit(
        self, ctx: CallContext, market: str, first: bytes, second: bytes, limit_milli_wh: int | None
    ) -> Encodable:
        """Limit what two members may trade per interval; nothing takes their own limit away."""
        config = self._config(ctx, market)
        if first == second:
            raise CallError("same_account", "a pair is two different members", actual=first)
        load_account(ctx, first)
        load_account(ctx, second)
        pair = pair_of(first, second)
        if not approve(ctx, "market.set_pair_limit", (market, pair, limit_milli_wh)):
            return False
        tail = config.prefix + pair
        change = (limit_milli_wh is not None) - (ctx.get(PAIR_LIMIT_SPACE + tail) is not None)
        if limit_milli_wh is not None:
            _write_pair_limit(ctx, config.prefix, pair, limit_milli_wh)
        elif change:
            ctx.delete(PAIR_LIMIT_SPACE + tail)
            ctx.delete(PAIR_LIMIT_INDEX + tail)
        if change:
            _save_config(ctx, replace(config, pair_limits=config.pair_limits + change))
        ctx.emit("set_pair_limit", market, pair[:20], pair[20:], limit_milli_wh)
        return True

    @method(
        Argument("market", NAME),
        Argument("line", NAME),
        Argument("rating_w", either(integer(0, MAX_RATING_W), NOTHING)),
        roles=LIMIT_ROLES,
    )
    def set_line_rating(
        self, ctx: CallContext, market: str, line: str, rating_w: int | None
    ) -> Encodable:
        """Change what a line may carry; nothing takes its limit away."""
        config = self._config(ctx, market)
        number = ctx.get(LINE_NAME_SPACE + config.prefix + line.encode())
        if number is None:
            raise CallError("unknown_line", "the market's network has no such line", actual=line)
        if not approve(ctx, "market.set_line_rating", (market, line, rating_w)):
            return False
        key = LINE_SPACE + config.prefix + number
        data = ctx.get(key)
        if data is None:
            raise InvariantViolation(f"market {market!r} lost line {line!r}")
        ctx.put(key, decode_line(data)._replace(rating_w=rating_w).encode())
        ctx.emit("set_line_rating", market, line, rating_w)
        return True

    @method(
        Argument("market", NAME),
        Argument("policy", POLICY),
        Argument("penalty_price_micro_per_kwh", UINT63),
        Argument("penalty_payee", PAYEE),
        roles=("operator",),
    )
    def set_policy(
        self,
        ctx: CallContext,
        market: str,
        policy: str,
        penalty_price_micro_per_kwh: int,
        penalty_payee: str,
    ) -> Encodable:
        """Choose what happens to energy beyond a limit: ignore, skip, or penalty and its payee."""
        arguments = (market, policy, penalty_price_micro_per_kwh, penalty_payee)
        config = replace(
            self._config(ctx, market),
            policy=POLICY_NAMES.index(policy),
            penalty_price_micro_per_kwh=penalty_price_micro_per_kwh,
            penalty_payee=PAYEE_NAMES.index(penalty_payee),
        )
        if config.policy == PENALTY and config.penalty_payee == PAYEE_EDC and not config.edc:
            raise CallError(
                "no_edc",
                "the market has no distribution company to take penalties",
                hint="Let the payee be 'seller'.",
            )
        if not approve(ctx, "market.set_policy", arguments):
            return False
        _save_config(ctx, config)
        ctx.emit("set_policy", *arguments)
        return True

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set parameters of the market called `subject`, as voted for."""
        _save_config(ctx, changed_market(self._config(ctx, subject), values))

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `market`."""
        return market_interfaces(self._config, (self.post, self.update, self.withdraw, self.buy))

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Close an interval's gate, or clear the interval after delivery."""
        stage, market, interval = decode_payload(payload)
        config = self._config(ctx, market)
        if stage == CLOSE:
            close_interval(ctx, config, interval)
        else:
            clear_interval(ctx, config, interval)

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entries of the order book and of the lists again from one leaf."""
        if key[:1] == OFFER_SPACE:
            offer = decode_offer(value)
            insert_offer(
                ctx, offer_place(offer), offer_entry(offer, int.from_bytes(key[1:], "big"))
            )
        elif key[:1] == USAGE_SPACE:
            ctx.put(USAGE_INDEX + key[1:], MARK)
        elif key[:2] == MARKET_SPACE:
            config = decode_market(value)
            ctx.put(MARKET_INDEX + config.prefix, config.name.encode())
        elif key[:2] == PAIR_LIMIT_SPACE:
            ctx.put(PAIR_LIMIT_INDEX + key[2:], MARK)

    def _config(self, ctx: CallContext, market: str) -> MarketConfig:
        data = ctx.get(MARKET_SPACE + market.encode())
        if data is None:
            raise CallError(
                "unknown_market",
                "there is no such market",
                actual=market,
                hint="`bitenergy market book` lists the markets.",
            )
        config = self._configs.get(data)
        if config is None:
            if len(self._configs) >= MAX_KNOWN_CONFIGS:
                self._configs.clear()
            config = self._configs[data] = decode_market(data)
        return config


def _write_market(ctx: CallContext, market: MarketSection) -> None:
    config = market.config
    prefix = config.prefix
    _save_config(ctx, config)
    ctx.put(MARKET_INDEX + prefix, config.name.encode())
    for pair, limit_milli_wh in market.pair_limits.items():
        _write_pair_limit(ctx, prefix, pair, limit_milli_wh)
    for number, bus in enumerate(market.buses, 1):
        ctx.put(bus_key(prefix, number), bus.encode())
        ctx.put(BUS_NAME_SPACE + prefix + bus.name.encode(), number.to_bytes(4, "big"))
    for number, line in enumerate(market.lines, 1):
        ctx.put(line_key(prefix, number), line.encode())
        ctx.put(LINE_NAME_SPACE + prefix + line.name.encode(), number.to_bytes(4, "big"))


def _write_pair_limit(ctx: CallContext, prefix: bytes, pair: bytes, limit_milli_wh: int) -> None:
    ctx.put(PAIR_LIMIT_SPACE + prefix + pair, limit_milli_wh.to_bytes(8, "big"))
    ctx.put(PAIR_LIMIT_INDEX + prefix + pair, MARK)


def _save_config(ctx: CallContext, config: MarketConfig) -> None:
    ctx.put(market_key(config.name), config.encode())


def _validate_price(config: MarketConfig, price: int) -> None:
    if not config.min_price_micro_per_kwh <= price <= config.max_price_micro_per_kwh:
        raise CallError(
            "price_out_of_range",
            "the market does not take this price",
            expected=f"{config.min_price_micro_per_kwh} to {config.max_price_micro_per_kwh}",
            actual=price,
        )


def _validate_energy(config: MarketConfig, energy_milli_wh: int) -> None:
    if energy_milli_wh < config.min_energy_milli_wh:
        raise CallError(
            "energy_too_small",
            "the market trades no less energy at a time",
            expected=f"at least {config.min_energy_milli_wh}",
            actual=energy_milli_wh,
        )


def _find_bus(ctx: CallContext, config: MarketConfig) -> int:
    """Return the number of the bus at which the caller is connected.

    Raises CallError `not_connected`, and `meshed_network` where trades would have no one path.
    """
    if config.lines >= config.buses:
        raise CallError(
            "meshed_network",
            "nobody trades over a meshed network: which lines a trade would load is not known",
            expected="a radial network",
            hint="Dispatch rounds take it: register a unit with dispatch.register.",
        )
    bus = load_member(ctx, ctx.caller).bus
    number = ctx.get(BUS_NAME_SPACE + config.prefix + bus.encode())
    if number is None:
        raise CallError(
            "not_connected",
            "the member is not connected to the market's network",
            expected="a bus of the network",
            actual=bus or "no bus",
            hint="An operator or the DSO records the connection with members.set_bus.",
        )
    return int.from_bytes(number, "big")


def _load_offer(ctx: CallContext, config: MarketConfig, offer_id: int) -> Offer:
    data = ctx.get(offer_key(offer_id))
    offer = None if data is None else decode_offer(data)
    if offer is None or offer.market != config.number:
        raise CallError(
            "unknown_offer",
            "no such offer stands in this market",
            actual=offer_id,
            hint="It may have been sold, withdrawn, or expired with its interval's gate.",
        )
    return offer


def _validate_own(ctx: CallContext, offer: Offer) -> None:
    if offer.seller != ctx.caller:
        raise CallError(
            "not_your_offer", "the offer belongs to another member", actual=offer.seller
        )


def _withdraw(ctx: CallContext, config: MarketConfig, offer: Offer, offer_id: int) -> None:
    leaf = load_account(ctx, offer.seller)
    leaf.release_energy(offer.energy_milli_wh)
    save_account(ctx, offer.seller, leaf)
    ctx.delete(offer_key(offer_id))
    remove_offer(ctx, offer_place(offer), offer_entry(offer, offer_id))
    ctx.emit("withdraw", config.name, offer.seller, offer_id, offer.interval, offer.energy_milli_wh)
