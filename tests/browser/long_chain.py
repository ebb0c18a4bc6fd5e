"""How soon each page is ready in Chromium on a long chain, and what that takes of browser and node.

`python -m tests.browser.long_chain --json` is a campaign: 100,000 blocks, 10,000 standing offers.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import click
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS
from tests.conftest import free_ports
from tools.bench.idle import cpu_s
from tools.bench.pages import AUCTION, DAY_MARKET, write_network
from tools.bench.traffic import MARKET
from tools.explorer.files import PAGES
from tools.output import note, print_json, print_table
from tools.testnet import LocalNode, load_network_folder, start_nodes, stop_nodes

BLOCK: Final = 10
"""A height at which offers are posted."""
WHAT: Final = {
    "account": ("T0",),
    "auctions": (AUCTION,),
    "block": (str(BLOCK),),
    "days": (DAY_MARKET,),
    "exchange": (MARKET,),
    "market": (MARKET,),
    "verify": ("?account=T0",),
}
"""What a page shows, where its first part alone does not say it."""
FURTHER: Final = ("/blocks?before=500",)
MOST_MS: Final = 1_000
MOST_BYTES: Final = 300_000
DEADLINE_MS: Final = 60_000
REPEATS: Final = 3
READY_MS: Final = "() => performance.getEntriesByName('ready')[0].startTime"


@dataclass(frozen=True, slots=True)
class PageFigures:
    """What one page took."""

    page: str
    """Its address."""
    first_ms: float
    """From the navigation until it was ready, the first time that anybody looked at it."""
    ready_ms: float
    """The same from then on with an empty cache, the median."""
    again_ms: float
    """With what the browser has already."""
    browser_cpu_ms: float
    """What the page's thread worked until it was ready."""
    node_cpu_ms: float
    """What the node worked, for all that the page asked."""
    requests: int
    """Files and answers."""
    bytes: int
    """Their length."""


def addresses(node: LocalNode) -> list[str]:
    """Return an address of each page that the explorer has, and `FURTHER`."""
    what = WHAT | {"transaction": (_transaction(node),)}
    found = [
        f"/{page}{rest if rest.startswith('?') else f'/{rest}' if rest else ''}"
        for page in sorted(PAGES)
        for rest in what.get(page, ("",))
    ]
    return [*found, *FURTHER]


def _transaction(node: LocalNode) -> str:
    """Return the id of a transaction."""
    with urlopen(
        f"{node.api_url}/api/v1/blocks/{BLOCK}?limit=1", timeout=DEADLINE_MS / 1_000
    ) as got:
        return str(json.load(got)["transactions"][0]["id"])


def measure(browser: Browser, node: LocalNode, page: str) -> PageFigures:
    """Open a page in fresh windows, and once more in the last of them."""
    taken = [_open(browser, node, page) for _ in range(1 + REPEATS)]
    best = min(taken, key=lambda one: one.ready_ms)
    return PageFigures(
        page,
        round(taken[0].ready_ms, 1),
        round(statistics.median(one.ready_ms for one in taken[1:]), 1),
        round(statistics.median(one.again_ms for one in taken[1:]), 1),
        round(min(one.browser_cpu_ms for one in taken), 1),
        round(min(one.node_cpu_ms for one in taken), 1),
        best.requests,
        best.bytes,
    )


def _open(browser: Browser, node: LocalNode, page: str) -> PageFigures:
    context = browser.new_context(viewport=DESKTOP, locale="en-GB")  # type: ignore[arg-type]
    try:
        before_s = cpu_s(node)
        ready_ms, cpu_ms, sizes = _visit(context, node.api_url + page)
        node_ms = (cpu_s(node) - before_s) * 1_000
        again_ms, _, _ = _visit(context, node.api_url + page)
        return PageFigures(
            page, ready_ms, ready_ms, again_ms, cpu_ms, node_ms, len(sizes), sum(sizes)
        )
    finally:
        context.close()


def _visit(context: BrowserContext, address: str) -> tuple[float, float, list[int]]:
    """Return until when a page was ready, its thread's work, and the lengths of all answers."""
    window = context.new_page()
    sizes: list[int] = []
    window.on(
        "response", lambda answer: sizes.append(int(answer.headers.get("content-length", "0")))
    )
    session = context.new_cdp_session(window)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    window.goto(address)
    window.wait_for_function(
        "() => performance.getEntriesByName('ready').length > 0", timeout=DEADLINE_MS
    )
    metrics = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    ready_ms = float(window.evaluate(READY_MS))
    if window.locator("main .problem").count():
        raise RuntimeError(f"{address}: {window.locator('main').inner_text()}")
    window.close()
    return ready_ms, metrics["TaskDuration"] * 1_000, sizes


@click.command()
@click.option("--blocks", type=click.IntRange(3_000), default=100_000, show_default=True)
@click.option("--offers", type=click.IntRange(1), default=10_000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the chain is written and kept; one that is there is used again.",
)
@click.option("--page", "pages", multiple=True, help="Only this page; may be repeated.")
@click.option("--json", "as_json", is_flag=True)
def main(
    blocks: int, offers: int, folder: Path | None, pages: tuple[str, ...], as_json: bool
) -> None:
    """Open every page on a long chain; fails if one is not ready within a second."""
    port = free_ports()()
    os.environ.setdefault("BITENERGY_PORTS", f"{port}-{port + 400}")
    place = folder or Path(tempfile.mkdtemp(prefix="bitenergy-pages-"))
    try:
        if (place / "network").is_dir():
            network = load_network_folder(place / "network")
        else:
            network = write_network(place / "network", blocks=blocks, offers=offers)
        start_nodes(network.nodes[:1], timeout_s=60.0)
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                figures: list[PageFigures] = []
                for page in pages or addresses(network.nodes[0]):
                    figures.append(measure(browser, network.nodes[0], page))
                    note(f"{page}: {figures[-1].ready_ms:.0f} ms")
                browser.close()
        finally:
            stop_nodes(network.nodes)
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    if as_json:
        shown = [asdict(each) for each in figures]
        print_json({"blocks": blocks, "offers": offers, "pages": shown})
    else:
        names = (">first ms", ">ready ms", ">again ms", ">browser CPU ms", ">node CPU ms")
        print_table(
            f"pages in Chromium: {blocks} blocks, {offers} standing offers",
            ("page", *names, ">requests", ">bytes"),
            [tuple(asdict(each).values()) for each in figures],
        )
    late = [each.page for each in figures if max(each.first_ms, each.ready_ms) >= MOST_MS]
    heavy = [figures[0].page] if figures[0].bytes >= MOST_BYTES else []
    for words in [f"late: {', '.join(late)}"] * bool(late) + [f"heavy: {heavy}"] * bool(heavy):
        note(words)
    raise SystemExit(1 if late or heavy else 0)


if __name__ == "__main__":
    main()
