"""What happens to a delivery interval by itself: its gate closes, and after delivery it is cleared.

At gate closure all standing offers of the interval are withdrawn and their energy is free again;
at the end of delivery the loads of lines and pairs are forgotten. Both are done in batches, one a
block, of which each schedules the next, so that no block carries more than one of a market.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from market.book import entry_offer_id, offer_entry, offer_place, remove_offer, scan_book
from market.intervals import end_ms, gate_ms
from market.records import (
    GATE_MARK,
    MARK,
    USAGE_INDEX,
    USAGE_SPACE,
    MarketConfig,
    decode_offer,
    interval_prefix,
    offer_key,
)
from vm.context import CallContext
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation
from vm.system.accounts import Account, load_account, save_account

CLOSE: Final = 0
CLEAR: Final = 1
OFFERS_PER_BATCH: Final = 200
USAGES_PER_BATCH: Final = 500
GAS_OF_EXPIRY: Final = 300
"""For withdrawing an offer, beside what that reads, writes and tells."""
GAS_OF_CLEARING: Final = 30
"""For forgetting a load, beside the same."""
GAS_RESERVE: Final = 20_000
"""Gas that a batch leaves for its last item and for scheduling the next."""
GAS_OF_ACCOUNT: Final = 400
"""Gas that it leaves for saving each account of which it released energy."""


def open_gate(ctx: CallContext, config: MarketConfig, interval: int) -> None:
    """Schedule the closure of an interval's gate when its first offer is posted."""
    key = interval_prefix(config.prefix, interval) + GATE_MARK
    if ctx.get(USAGE_SPACE + key) is None:
        ctx.put(USAGE_SPACE + key, MARK)
        ctx.put(USAGE_INDEX + key, MARK)
        ctx.schedule(gate_ms(config, interval), _payload(CLOSE, config, interval))


def decode_payload(payload: bytes) -> tuple[int, str, int]:
    """Return stage (CLOSE or CLEAR), market and interval of something that is due."""
    match unpack_trusted(payload):
        case (int(stage), str(market), int(interval)):
            return stage, market, interval
    raise InvariantViolation(f"the market scheduled something else: {payload.hex()[:80]}")


def close_interval(ctx: CallContext, config: MarketConfig, interval: int) -> None:
    """Withdraw a batch of an interval's offers; schedule the next batch, or the clearing."""
    standing = _standing_offers(ctx, config, interval)
    accounts: dict[bytes, Account] = {}
    done = 0
    for offer_id in standing:
        if ctx.gas_limit - ctx.gas_used < GAS_RESERVE + GAS_OF_ACCOUNT * len(accounts):
            break
        _expire(ctx, config, offer_id, accounts)
        done += 1
    for account, leaf in accounts.items():
        save_account(ctx, account, leaf)
    if done < OFFERS_PER_BATCH and done == len(standing):
        ctx.schedule(end_ms(config, interval), _payload(CLEAR, config, interval))
    else:
        ctx.schedule(ctx.time_ms + 1, _payload(CLOSE, config, interval))


def clear_interval(ctx: CallContext, config: MarketConfig, interval: int) -> None:
    """Forget a batch of an interval's loads; schedule the next batch if there is more."""
    prefix = USAGE_INDEX + interval_prefix(config.prefix, interval)
    keys: list[bytes] = []
    for key, _ in ctx.scan(prefix, prefix + b"\xff"):
        keys.append(key)
        if len(keys) == USAGES_PER_BATCH:
            break
    done = 0
    for key in keys:
        if ctx.gas_limit - ctx.gas_used < GAS_RESERVE:
            break
        ctx.charge(GAS_OF_CLEARING)
        ctx.delete(key)
        ctx.delete(USAGE_SPACE + key[len(USAGE_INDEX) :])
        done += 1
    if done == USAGES_PER_BATCH or done < len(keys):
        ctx.schedule(ctx.time_ms + 1, _payload(CLEAR, config, interval))


def _standing_offers(ctx: CallContext, config: MarketConfig, interval: int) -> list[int]:
    """Return up to a batch of offers."""
    group = interval_prefix(config.prefix, interval)
    return [entry_offer_id(entry) for entry in islice(scan_book(ctx, group), OFFERS_PER_BATCH)]


def _expire(
    ctx: CallContext, config: MarketConfig, offer_id: int, accounts: dict[bytes, Account]
) -> None:
    ctx.charge(GAS_OF_EXPIRY)
    key = offer_key(offer_id)
    data = ctx.get(key)
    if data is None:
        raise InvariantViolation(f"the book holds offer {offer_id}, which is gone")
    offer = decode_offer(data)
    account = accounts.get(offer.seller)
    if account is None:
        account = accounts[offer.seller] = load_account(ctx, offer.seller)
    account.release_energy(offer.energy_milli_wh)
    ctx.delete(key)
    remove_offer(ctx, offer_place(offer), offer_entry(offer, offer_id))
    ctx.emit("expire", config.name, offer.seller, offer_id, offer.interval, offer.energy_milli_wh)


def _payload(stage: int, config: MarketConfig, interval: int) -> bytes:
    return encode_trusted((stage, config.name, interval))
