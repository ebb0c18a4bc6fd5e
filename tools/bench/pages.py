"""`bitenergy bench pages`: how long a node takes to answer what each page asks, on a long chain."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiohttp

from market.day.gates import TO_THE_LAST
from tools.bench.history import BLOCK_INTERVAL_MS, open_history
from tools.bench.traffic import (
    MARKET,
    PRICE_LOW_MICRO,
    Traffic,
    genesis_template,
    make_traders,
)
from tools.calls import buy, place_day_order, place_order, post_offer, transfer
from tools.errors import EXIT_OK, ToolError
from tools.output import note, print_json, print_table
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes
from vm.primitives.errors import InvariantViolation
from vm.runtime import Call

VALIDATORS: Final = 4
BLOCK_TRANSACTIONS: Final = 500
POST_MILLI_WH: Final = 1_000_000
BUSY_BLOCKS: Final = 2_000
"""Blocks in which something happens; what follows are empty ones, as in a quiet night."""
BUY_EVERY: Final = 10
NOTED: Final = 10_000
REPEATS: Final = 5
AUCTION: Final = "day"
AUCTION_INTERVAL_MS: Final = 900_000
AUCTION_ORDERS: Final = 1_000
AUCTION_TERMS: Final = {
    "name": AUCTION,
    "mechanism": "uniform",
    "sealed": False,
    "account": "operator",
}
DAY_MARKET: Final = "homes"
HOMES: Final = 6
"""Traders with a meter."""
DAY_TRADES: Final = 80
"""Intervals after the first hour in which two members trade in the day market."""
DAY_TERMS: Final = {
    "name": DAY_MARKET,
    "account": "operator",
    "upstream": "supplier",
    "retail": "30",
    "feed_in": "5",
    "gates": [{"kind": "real_time", "minutes": 5}],
    "members": [f"T{number}" for number in range(HOMES)],
}
PLANT: Final = {"plant": "roof", "member": "T0", "technology": "solar", "capacity_w": 20_000}
_API: Final = "/api/v1"
_OFFERS: Final = f"/markets/{MARKET}/offers"
_DAYS: Final = f"/day-markets/{DAY_MARKET}"
_TRADES: Final = f"/markets/{MARKET}/trades"

PAGES: Final = {
    "home": (
        ("/status", "/validators", "/peers", "/markets", "/members?limit=200"),
        (f"{_OFFERS}?limit=1", f"{_TRADES}?limit=1"),
    ),
    "blocks": (("/blocks?limit=25",),),
    "blocks, far back": (("/blocks?limit=25&before=500",),),
    "block": (("/blocks/10?limit=50",),),
    "transactions": (("/transactions?limit=50",),),
    "account": (
        ("/accounts/T0",),
        ("/accounts/T0/history?limit=50",),
        ("/accounts/T0/unasked?limit=200", "/accounts/T0/history?limit=200"),
    ),
    "market": (
        ("/markets",),
        (f"{_OFFERS}?limit=200", f"{_TRADES}?limit=500", f"{_OFFERS}?seller=T0&limit=200"),
    ),
    "grid": (("/markets",), (f"/markets/{MARKET}/lines",)),
    "exchange": (("/markets",), (f"{_OFFERS}?seller=T0&limit=200",)),
    "dispatch": (("/dispatch/areas", "/dispatch/rounds?limit=50"),),
    "contracts": (("/contracts?limit=50",),),
    "auctions": (
        ("/auctions",),
        (f"/auctions/{AUCTION}/intervals?limit=50", f"/auctions/{AUCTION}/clearings?limit=100"),
    ),
    "days": (
        ("/day-markets",),
        (f"{_DAYS}/intervals?limit=200", f"{_DAYS}/clearings?limit=1000"),
    ),
    "meters": (("/readings?limit=96",),),
    "certificates": (("/certificates?limit=100", "/certificates/plants?limit=100"),),
    "quotas": (("/quotas?limit=50",),),
    "response": (
        (
            "/response/rounds?limit=50",
            "/response/events?limit=50",
            "/modules/response/events?event=price&limit=20",
        ),
    ),
    "stakes": (("/status",), ("/validators", "/staking")),
    "governance": (("/proposals?limit=30",), ("/params", "/markets", "/status")),
    "network": (("/status", "/peers", "/doctor", "/mempool"),),
    "verify": (("/proofs/account/V1", "/genesis/document"),),
}
"""What each page asks for: stages one after the other, the requests of a stage together."""


@dataclass(frozen=True, slots=True)
class PageFigures:
    """What the requests of one page took."""

    page: str
    """The page."""
    first_ms: float
    """The first time that anybody looked at it."""
    median_ms: float
    """From then on, the median."""
    bytes: int
    """What the node answered."""


def run_bench(*, blocks: int, offers: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    network = write_network(folder / "network", blocks=blocks, offers=offers)
    try:
        start_nodes(network.nodes[:1], timeout_s=60.0)
        figures = asyncio.run(_measure(network.nodes[0].api_url))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        pages = [asdict(each) for each in figures]
        print_json({"blocks": blocks, "offers": offers, "pages": pages})
    else:
        print_table(
            f"bench pages: {blocks} blocks, {offers} standing offers",
            ("page", ">first ms", ">median ms", ">bytes"),
            [(each.page, each.first_ms, each.median_ms, each.bytes) for each in figures],
        )
    return EXIT_OK


def write_network(folder: Path, *, blocks: int, offers: int) -> LocalNetwork:
    """Make a network in a new folder whose first node has a chain of `blocks` blocks.

    `offers` stand in its market, and orders in an auction.
    """
    traders = make_traders()
    template = genesis_template(traders)
    modules = template["modules"]
    if not isinstance(modules, dict):
        raise InvariantViolation("the template of benchmarks has no modules")
    template["modules"] = modules | {
        "auction": {"auctions": [AUCTION_TERMS]},
        "quota": {"penalty_price": "200"},
        "response": {"account": "operator", "upstream_price": "35"},
        "meters": {
            "meters": [{"meter": f"M{number}", "member": f"T{number}"} for number in range(HOMES)]
        },
        "day": {"markets": [DAY_TERMS]},
        "certificates": {"plants": [PLANT]},
    }
    _add_members(template)
    network = create_network(folder, template, validators=VALIDATORS)
    _write_chain(network, Traffic(network.genesis, traders, 1), blocks, offers)
    return network


def _add_members(template: dict[str, object]) -> None:
    """Add the supplier and the meters of the day market."""
    members, roles = template["members"], template["roles"]
    if not isinstance(members, list) or not isinstance(roles, list):
        raise InvariantViolation("the template of benchmarks has no members")
    template["roles"] = [*roles, "meter", "supplier"]
    supplier = {"name": "supplier", "roles": ["supplier"], "balance": "1000000"}
    meters = [{"name": f"M{number}", "roles": ["meter"]} for number in range(HOMES)]
    template["members"] = [*members, supplier, *meters]


def _write_chain(network: LocalNetwork, traffic: Traffic, blocks: int, offers: int) -> None:
    """Write posts, some purchases and transfers, and then empty blocks."""
    history = open_history(network)
    traders = len(traffic.traders)
    posts = [
        traffic.sign(
            number % traders, (post_offer(MARKET, 0, POST_MILLI_WH, PRICE_LOW_MICRO + number),)
        )
        for number in range(offers)
    ]
    for start in range(0, offers, BLOCK_TRANSACTIONS):
        history.append(posts[start : start + BLOCK_TRANSACTIONS])
    ahead = history.chain.header.time_ms + (blocks + 1) * BLOCK_INTERVAL_MS
    interval = ahead // AUCTION_INTERVAL_MS + 10
    for start in range(0, AUCTION_ORDERS, BLOCK_TRANSACTIONS):
        history.append(
            [
                traffic.sign(number, (_order(interval, number),))
                for number in range(start, min(start + BLOCK_TRANSACTIONS, AUCTION_ORDERS))
            ]
        )
    begun = history.chain.header.time_ms // AUCTION_INTERVAL_MS + 4
    history.append(
        [
            traffic.sign(number, (_day_order(begun + number // 2, number),))
            for number in range(2 * DAY_TRADES)
        ]
    )
    first = history.chain.height
    for height in range(first + 1, blocks + 1):
        number = height - first
        if number > BUSY_BLOCKS:
            history.append(())
        elif number % BUY_EVERY:
            to = traffic.traders[number % (traders - 1) + 1].account
            history.append([traffic.sign(0, (transfer(to, 1_000),))])
        else:
            call = buy(MARKET, 0, 1_000, 2 * PRICE_LOW_MICRO, allow_partial=True)
            history.append([traffic.sign(number % (traders - 1) + 1, (call,))])
        if height % NOTED == 0:
            note(f"{height} of {blocks} blocks written")
    history.chain.store.close()


def _order(interval: int, number: int) -> Call:
    steps = ((POST_MILLI_WH // 10, PRICE_LOW_MICRO + number),)
    return place_order(AUCTION, interval, "sell" if number % 2 else "buy", steps)


def _day_order(interval: int, number: int) -> Call:
    side, price_micro = ("sell", number) if number % 2 else ("buy", PRICE_LOW_MICRO)
    steps = ((POST_MILLI_WH, PRICE_LOW_MICRO + price_micro),)
    return place_day_order(DAY_MARKET, interval, side, steps, TO_THE_LAST)


async def _measure(url: str) -> list[PageFigures]:
    figures: list[PageFigures] = []
    async with aiohttp.ClientSession(f"{url}{_API}/") as session:
        for page, stages in PAGES.items():
            taken_ms: list[float] = []
            size = 0
            for _ in range(1 + REPEATS):
                start_s = time.perf_counter()
                size = 0
                for paths in stages:
                    size += sum(await asyncio.gather(*(_ask(session, path) for path in paths)))
                taken_ms.append((time.perf_counter() - start_s) * 1_000)
            median_ms = statistics.median(taken_ms[1:])
            figures.append(PageFigures(page, round(taken_ms[0], 1), round(median_ms, 1), size))
    return figures


async def _ask(session: aiohttp.ClientSession, path: str) -> int:
    """Return the length of an answer; raises ToolError where it is a refusal."""
    async with session.get(path.removeprefix("/")) as response:
        body = await response.read()
        if response.status != 200:
            raise ToolError("the node refused what a page asks", actual=f"{path}: {body[:200]!r}")
        return len(body)
