"""Wrong figures planted in the pages, one at a time: the comparison with the API must see each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Route

from tests.browser import test_day_figures as day
from tests.browser import test_figures as network
from tests.browser.conftest import DESKTOP, Explorer, Visit
from tests.browser.day_world import DAY, DayWorld
from tests.browser.test_figures import Row, compare

pytestmark = pytest.mark.browser

Fault = tuple[str, int, Callable[..., list[Row]], str, str, str]
"""Page, which of its tables, what stands there; the script, what it has, and what is planted."""
BOOK: Final = ("/auctions/day-ahead", 1, network.book)
CLEARED: Final = ("/auctions/quick", 0, network.cleared)
STATIONS: Final = ("/quotas/1", 0, network.stations)
QUOTAS: Final = ("/quotas", 0, network.quotas)
ORDERS: Final = ("/response/round/1", 0, network.response_orders)
ENROLLED: Final = ("/response/event/1", 0, network.enrolled)
CALLS: Final = ("/response", 1, network.response_events)
OF_NETWORK: Sequence[Fault] = (
    (*BOOK, "auction_orders", "price(step.price_micro_per_kwh) }", "price(step.energy_milli_wh) }"),
    (*BOOK, "auctions", "BigInt(row.cover_micro) +", "0n +"),
    (*BOOK, "auctions", "(row.side ? t(row.side) :", '(row.side ? t("buy") :'),
    (*CLEARED, "auctions", "BigInt(half) / 2n", "BigInt(half) / 3n"),
    (*CLEARED, "auctions", "cell: (row) => integer(row.forfeits)", "cell: (row) => integer(1)"),
    (*STATIONS, "quotas", "power(row.quota_w)", "power(row.demand_w)"),
    (*STATIONS, "quotas", "money(row.deposit_micro)", "money(0)"),
    (*QUOTAS, "quotas", "power(row.capacity_w), plain", "power(row.demand_w), plain"),
    (*QUOTAS, "quotas", "integer(row.stations)", "integer(0)"),
    (*ORDERS, "response", "energy(row.given_up_milli_wh)", "energy(row.energy_milli_wh)"),
    (*ORDERS, "response", "cell: (row) => t(row.side)", 'cell: () => t("buy")'),
    (*ENROLLED, "response", "energies(row.promised_milli_wh)", "energies([])"),
    (*CALLS, "response", "row.profile_left_milli_wh.map(energy)", "[0].map(energy)"),
)
DAY_OF: Final = f"/days/local?day={DAY}"
TRADED: Final = (DAY_OF, 0, day.busy_rows)
SETTLED: Final = (day.AUDITED, 1, day.audited_rows)
LINES: Final = (DAY_OF, 2, day.full_lines)
SUMS: Final = ("/meters", 0, day.sums)
LOTS: Final = ("/certificates", 0, day.lots)
PLANTS: Final = ("/certificates", 1, day.plants)
OF_DAY: Sequence[Fault] = (
    (*TRADED, "day_rows", "first?.bids_milli_wh ??", "first?.offers_milli_wh ??"),
    (*TRADED, "day_rows", "sum + BigInt(one.energy_milli_wh), 0n)", "sum + 1n, 0n)"),
    (*TRADED, "auctions", "BigInt(half) / 2n", "BigInt(half)"),
    (*SETTLED, "days", "energyOr(row[`${name}_milli_wh`])", "energyOr(row.injected_milli_wh)"),
    (*SETTLED, "days", "money(row.penalties_micro)", "money(0)"),
    (*SETTLED, "day_rows", "1 - Number(sums.from", "2 - Number(sums.from"),
    (*LINES, "day_rows", "MILLI / MINUTES_PER_HOUR", "MILLI"),
    (*LINES, "day_rows", "size >= limit", "size > limit"),
    (*LINES, "day_rows", "halves.at(-1) - halves[0]", "halves[0]"),
    (*SUMS, "meters", "sum(row.injected_milli_wh), plain", "sum(row.withdrawn_milli_wh), plain"),
    (*SUMS, "meters", "integer(row.estimated)", "integer(row.connections)"),
    (*LOTS, "certificates", "BigInt(row.count) * BigInt(row.unit_milli_wh)), plain", "1), plain"),
    (*LOTS, "certificates", "integer(row.count)", "integer(row.lot)"),
    (*PLANTS, "certificates", "integer(row.issued)", "integer(0)"),
    (*PLANTS, "certificates", "power(row.capacity_w)", "power(0)"),
)


OF_BILL: Sequence[tuple[str, str]] = (
    ("money(found.totals.amount_micro)", "money(-found.totals.amount_micro)"),
    ("energy(row.energy_milli_wh)} ·", "energy(0)} ·"),
    ("cell: (row) => money(row.amount_micro)", "cell: (row) => money(row.energy_milli_wh)"),
    ("rows: found.lines", "rows: found.lines.slice(1)"),
)
"""What the script of bills has, and what is planted."""


@contextmanager
def planted(chromium: Browser, url: str, script: str, whole: str, fault: str) -> Iterator[Visit]:
    """Open a window to which one of the pages' scripts comes with a fault."""
    context = chromium.new_context(viewport=DESKTOP, locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type]
    served: list[str] = []

    def plant(route: Route) -> None:
        text = route.fetch().text()
        served.append(text)
        route.fulfill(body=text.replace(whole, fault), content_type="text/javascript")

    try:
        context.route(f"**/pages/{script}.js", plant)
        yield Visit(context, url)
        assert served, "the page does not use that script"
        assert whole in served[0], "the script has no such words any more"
    finally:
        context.close()


def find(chromium: Browser, url: str, fault: Fault, wanted: list[Row], folder: Path) -> None:
    """Look at a page with a fault in it; fails unless the comparison does."""
    address, place, _, script, whole, wrong = fault
    with planted(chromium, url, script, whole, wrong) as visit:
        page = day.open_page(visit, address, folder)
        with pytest.raises(AssertionError):
            compare(page, place, wanted)


@pytest.mark.parametrize("fault", OF_NETWORK, ids=lambda fault: f"{fault[3]}: {fault[5]}")
def test_faults_of_mechanisms_are_seen(
    chromium: Browser, explorer: Explorer, tmp_path: Path, fault: Fault
) -> None:
    find(chromium, explorer.url, fault, fault[2](explorer.ask), tmp_path)


@pytest.mark.parametrize("fault", OF_DAY, ids=lambda fault: f"{fault[3]}: {fault[5]}")
def test_faults_of_a_day_are_seen(
    chromium: Browser,
    world: DayWorld,
    tmp_path: Path,
    fault: Fault,
) -> None:
    find(chromium, world.url, fault, fault[2](world), tmp_path)


@pytest.mark.parametrize(("whole", "wrong"), OF_BILL, ids=[wrong for _, wrong in OF_BILL])
def test_faults_of_a_bill_are_seen(
    chromium: Browser, world: DayWorld, tmp_path: Path, whole: str, wrong: str
) -> None:
    with planted(chromium, world.url, "bill", whole, wrong) as visit:
        page, bill = day.show_bill(visit, tmp_path, "A")
        with pytest.raises(AssertionError):
            day.compare_bill(page, bill)
