"""Settlement of a purchase: money, energy, offers, usage and events, from the fills matching found.

Each fill's amount is its energy times its price, one exact rational rounded once. The buyer pays
the sum of the amounts, and the payees get exactly that. Where penalties go to the owners of the
lines, the seller's part is the energy at the offer's own price, rounded by the same function; what
the amount exceeds it by is the penalty, shared equally by the owners of the reached limits, and the
few micro-tokens that do not divide go to the seller.
"""

from __future__ import annotations

from market.book import book_place, remove_offer
from market.matching import Candidate, Fill, Matching
from market.records import PAYEE_EDC, MarketConfig, offer_key
from vm.context import CallContext
from vm.primitives.codec import Encodable
from vm.primitives.errors import InvariantViolation
from vm.primitives.integers import trade_amount_micro
from vm.system.accounts import save_account


def settle(
    ctx: CallContext, config: MarketConfig, interval: int, matching: Matching
) -> list[Encodable]:
    """Carry out the fills and return them; raises CallError `insufficient_money`, `overflow`.

    Each is (offer id, seller, energy, price with penalty, penalty in it, amount).
    """
    fills = matching.fills
    amounts = [trade_amount_micro(fill.energy_milli_wh, fill.price_micro_per_kwh) for fill in fills]
    buyer = matching.account(ctx.caller)
    buyer.pay(sum(amounts))
    buyer.take_energy(sum([fill.energy_milli_wh for fill in fills]))
    results: list[Encodable] = []
    for fill, amount in zip(fills, amounts, strict=True):
        candidate = fill.candidate
        seller = matching.account(candidate.seller)
        seller.spend_reserved_energy(fill.energy_milli_wh)
        penalty = fill.price_micro_per_kwh - candidate.price
        if fill.owners and config.penalty_payee == PAYEE_EDC:
            seller.earn(amount - _pay_owners(ctx, config, matching, fill, amount))
        else:
            seller.earn(amount)
        ctx.emit(
            "trade",
            config.name,
            ctx.caller,
            candidate.seller,
            candidate.offer_id,
            interval,
            fill.energy_milli_wh,
            fill.price_micro_per_kwh,
            penalty,
            amount,
        )
        results.append(
            (
                candidate.offer_id,
                candidate.seller,
                fill.energy_milli_wh,
                fill.price_micro_per_kwh,
                penalty,
                amount,
            )
        )
    for candidate in matching.candidates:
        _save_offer(ctx, matching.group, candidate)
    if matching.limits is not None:
        matching.limits.save()
    for account, leaf in matching.accounts.items():
        save_account(ctx, account, leaf)
    return results


def _pay_owners(
    ctx: CallContext, config: MarketConfig, matching: Matching, fill: Fill, amount: int
) -> int:
    """Share a fill's penalty among the owners of its limits; return what they got together."""
    base = trade_amount_micro(fill.energy_milli_wh, fill.candidate.price)
    share = (amount - base) // len(fill.owners)
    for owner in fill.owners:
        payee = owner or config.edc
        matching.account(payee).earn(share)
        ctx.emit("penalty", config.name, payee, ctx.caller, fill.candidate.offer_id, share)
    return share * len(fill.owners)


def _save_offer(ctx: CallContext, group: bytes, candidate: Candidate) -> None:
    offer = candidate.offer
    if offer is None:
        raise InvariantViolation("an offer was taken from before it was read")
    key = offer_key(candidate.offer_id)
    if candidate.left_milli_wh:
        offer.energy_milli_wh = candidate.left_milli_wh
        ctx.put(key, offer.encode())
    else:
        ctx.delete(key)
        remove_offer(ctx, book_place(group, offer.bus, offer.seller), candidate.entry)
