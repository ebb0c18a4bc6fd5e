"""Green-choice coins: earned by withdrawals that were renewable, lost by all others.

When an interval is final, what a member withdrew is renewable as far as it bought it locally from
plants that delivered, and else as far as certificates were retired for the member. Local purchases
have the mix of what was sold in the interval: each buyer's part of the plants' deliveries is theirs
by contract, and no certificate is issued for it a second time: it is taken off what the plants
carry.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from market.certificates.crediting import add_energy, capped_milli_wh
from market.certificates.due import COINS
from market.certificates.records import (
    COINS_RUNNING_KEY,
    CertificateTerms,
    Coins,
    Plant,
    load_coins,
    plant_at,
    save_coins,
    save_plant,
)
from market.day.due import next_to_settle
from market.day.records import DayMarket, load_market
from market.day.settlement_records import DONE, FIRST, decode_page, load_settlement, page_key
from market.meters.readings import is_final, read_interval
from market.meters.records import MetersConfig
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT, MILLI_WH_PER_KWH

GAS_OF_MEMBER: Final = 100
"""For working out a member's part, beside what that reads and writes."""
GAS_OF_PAGE: Final = 60_000
"""Most that a page of members takes in one stage."""

SUMMING: Final = 0
PAYING: Final = 1
CLAIMING: Final = 2


class CoinProgress(NamedTuple):
    """How far an interval's coins are."""

    stage: int = SUMMING
    """SUMMING all sales, PAYING coins, CLAIMING the energy from plants."""
    page: int = 0
    """Page of members that is next."""
    sold_milli_wh: int = 0
    """Energy sold locally, delivered or not."""
    green_milli_wh: int = 0
    """What plants delivered of it."""
    claimed_milli_wh: int = 0
    """What enrolled buyers had of that."""
    passed_milli_wh: int = 0
    """While claiming: what the plants before delivered."""
    members: int = 0
    """Enrolled members so far."""


class _Part(NamedTuple):
    """One member's part in an interval."""

    account: bytes
    """The member."""
    sold_milli_wh: int
    """Energy that it sold beyond what it bought."""
    used_milli_wh: int
    """Energy that it bought and withdrew."""
    withdrawn_milli_wh: int
    """All that it withdrew."""
    green_milli_wh: int
    """What a plant at its connection delivered of what it sold."""
    plant: Plant | None
    """That plant."""


def enrol(ctx: CallContext, terms: CertificateTerms, meters: MetersConfig) -> None:
    """Have the caller's withdrawals count from the next interval on. Raises CallError."""
    if not terms.market:
        raise CallError(
            "no_coins",
            "this network has no green-choice coins",
            hint="Genesis brings them in: 'certificates': {'coins': {'market': …}}.",
        )
    coins = load_coins(ctx, ctx.caller)
    if coins.since is not None and coins.end is None:
        raise CallError("already_enrolled", "the member's withdrawals count already")
    if coins.end is not None and not is_final(ctx, coins.end - 1):
        raise CallError(
            "too_early",
            "what the member withdrew before it left is not counted yet",
            expected=f"at {meters.correction_ms(coins.end - 1)} ms",
            actual=ctx.time_ms,
        )
    coins.since, coins.end = meters.interval_of(ctx.time_ms) + 1, None
    save_coins(ctx, ctx.caller, coins)
    if ctx.get(COINS_RUNNING_KEY) is None:
        ctx.put(COINS_RUNNING_KEY, b"\x01")
        _schedule(ctx, meters.correction_ms(coins.since), coins.since, CoinProgress())
    ctx.emit("enrol", ctx.caller, coins.since)


def leave(ctx: CallContext, meters: MetersConfig) -> None:
    """Let the caller's withdrawals count no more from the next interval on. Raises CallError."""
    coins = load_coins(ctx, ctx.caller)
    if coins.since is None or coins.end is not None:
        raise CallError("not_enrolled", "the member's withdrawals do not count")
    coins.end = max(coins.since, meters.interval_of(ctx.time_ms) + 1)
    save_coins(ctx, ctx.caller, coins)
    ctx.emit("leave", ctx.caller, coins.end)


def coins_due(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    interval: int,
    progress: CoinProgress,
) -> None:
    """Settle the coins of an interval that is final, as far as one step goes."""
    market = load_market(ctx, terms.market)
    pages = _pages(ctx, market, interval)
    if pages is None or not is_final(ctx, interval):
        _schedule(ctx, ctx.time_ms + 1, interval, progress)
        return
    while ctx.gas_limit - ctx.gas_used > GAS_OF_PAGE:
        if progress.page < pages:
            parts = _parts(ctx, meters, market, interval, progress)
            progress = _STAGES[progress.stage](ctx, terms, meters, interval, parts, progress)
            progress = progress._replace(page=progress.page + 1)
        elif progress.stage == SUMMING or (progress.stage == PAYING and progress.claimed_milli_wh):
            progress = progress._replace(stage=progress.stage + 1, page=0)
        else:
            if progress.members:
                ctx.emit("coins", interval, progress.members)
            _schedule(ctx, meters.correction_ms(interval + 1), interval + 1, CoinProgress())
            return
    _schedule(ctx, ctx.time_ms + 1, interval, progress)


def _pages(ctx: CallContext, market: DayMarket, interval: int) -> int | None:
    """Return how many pages of members an interval has; None while they are written."""
    found = load_settlement(ctx, market, interval, FIRST)
    if found is not None:
        return found.pages if found.stage == DONE else None
    following = next_to_settle(ctx, market)
    # A market that nobody used by now, or used later only, has no settlement of the interval.
    return 0 if following is None or interval < following else None


def _parts(
    ctx: CallContext, meters: MetersConfig, market: DayMarket, interval: int, progress: CoinProgress
) -> list[_Part]:
    """Return the parts of a page's members that a stage needs, by their final readings."""
    data = ctx.get(page_key(market, interval, FIRST, progress.page))
    if data is None:
        # Pruned: so late, after a standstill of the chain, nobody earns or loses anything.
        return []
    ctx.charge(len(data))
    found: list[_Part] = []
    for record in decode_page(data):
        ctx.charge(GAS_OF_MEMBER)
        contracts = record.contracts
        through = min(contracts.bought_milli_wh, contracts.sold_milli_wh)
        sold = contracts.sold_milli_wh - through
        is_paying = progress.stage == PAYING
        if not sold and not is_paying:
            # All that is summed and claimed is of those who sold.
            continue
        measured = read_interval(ctx, meters, record.account, interval)
        delivered = 0 if is_paying else min(sold, measured.injected_milli_wh)
        plant = plant_at(ctx, record.account) if delivered else None
        green = 0 if plant is None else capped_milli_wh(plant, meters, interval, measured)
        used = min(contracts.bought_milli_wh - through, measured.withdrawn_milli_wh)
        found.append(
            _Part(
                record.account,
                sold,
                used,
                measured.withdrawn_milli_wh,
                min(delivered, green),
                plant,
            )
        )
    return found


def _sum(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    interval: int,
    parts: list[_Part],
    progress: CoinProgress,
) -> CoinProgress:
    return progress._replace(
        sold_milli_wh=progress.sold_milli_wh + sum([part.sold_milli_wh for part in parts]),
        green_milli_wh=progress.green_milli_wh + sum([part.green_milli_wh for part in parts]),
    )


def _pay(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    interval: int,
    parts: list[_Part],
    progress: CoinProgress,
) -> CoinProgress:
    """Give and take the coins of a page's enrolled members."""
    claimed, members = 0, 0
    for part in parts:
        coins = load_coins(ctx, part.account)
        if not counts(coins, interval):
            continue
        local = 0
        if progress.sold_milli_wh:
            local = part.used_milli_wh * progress.green_milli_wh // progress.sold_milli_wh
        change_coins(terms, coins, part.withdrawn_milli_wh, local)
        save_coins(ctx, part.account, coins)
        claimed, members = claimed + local, members + 1
    return progress._replace(
        claimed_milli_wh=progress.claimed_milli_wh + claimed, members=progress.members + members
    )


def _claim(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    interval: int,
    parts: list[_Part],
    progress: CoinProgress,
) -> CoinProgress:
    """Take what buyers had by contract off what plants carry, in proportion, without a rest."""
    passed = progress.passed_milli_wh
    for part in parts:
        if not part.green_milli_wh or part.plant is None:
            continue
        total = progress.green_milli_wh
        before = passed * progress.claimed_milli_wh // total
        passed += part.green_milli_wh
        share = passed * progress.claimed_milli_wh // total - before
        if share:
            add_energy(ctx, terms, meters, part.plant, -share, (interval, interval + 1))
            save_plant(ctx, part.plant)
    return progress._replace(passed_milli_wh=passed)


_STAGES: Final = (_sum, _pay, _claim)


def counts(coins: Coins, interval: int) -> bool:
    """Tell whether a member's withdrawals of an interval count."""
    if coins.since is None or interval < coins.since:
        return False
    return coins.end is None or interval < coins.end


def change_coins(
    terms: CertificateTerms, coins: Coins, withdrawn_milli_wh: int, local_milli_wh: int
) -> None:
    """Change coins by a withdrawal of which `local_milli_wh` was bought from plants.

    The change is one rational for the interval, rounded down; there are never less than no coins.
    """
    retired = min(coins.retired_milli_wh, withdrawn_milli_wh - local_milli_wh)
    covered = local_milli_wh + retired
    other = withdrawn_milli_wh - covered
    change = covered * terms.earned_micro_per_kwh - other * terms.lost_micro_per_kwh
    balance = coins.balance_micro + change // MILLI_WH_PER_KWH
    coins.balance_micro = min(max(balance, 0), MAX_AMOUNT)
    coins.retired_milli_wh -= retired
    coins.covered_milli_wh = min(coins.covered_milli_wh + covered, MAX_AMOUNT)
    coins.other_milli_wh = min(coins.other_milli_wh + other, MAX_AMOUNT)


def _schedule(ctx: CallContext, due_ms: int, interval: int, progress: CoinProgress) -> None:
    ctx.schedule(due_ms, encode_trusted((COINS, interval, tuple(progress))))
