"""What the pages of day markets, meters, certificates and bills show, beside what the API says.

The day is one of a compressed clock; hours of a real one would have to pass otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from node.keyfile import save_browser_key
from tests.browser.conftest import DESKTOP, PHONE, Visit, picture
from tests.browser.day_world import DAY, INTERVAL, DayWorld
from tests.browser.test_figures import Row, amount, compare, kw, kwh
from tests.browser.test_pages import find_faults
from tests.ledger.support import id_of, seed
from tests.node.api.support import KWH

PASSWORD = "correct horse battery"
PATH = "/day-markets/local"
QUARTERS = 96
AUDITOR = "Aud"
AUDITED = "the day, as an auditor"


@pytest.fixture
def day_visit(chromium: Browser, world: DayWorld) -> Iterator[Visit]:
    """A window on it, of desktop size."""
    context = chromium.new_context(viewport=DESKTOP, locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type]
    found = Visit(context, world.url)
    yield found
    context.close()
    assert found.problems == []


def listed(world: DayWorld, signer: str = "") -> list[Any]:
    found = world.ask(f"{PATH}/intervals?day={DAY}", signer)["intervals"]
    assert len(found) == QUARTERS
    return list(found)


def cleared(world: DayWorld) -> dict[int, Any]:
    return {
        each["interval"]: each for each in world.ask(f"{PATH}/clearings?day={DAY}")["clearings"]
    }


def begins(interval: Any) -> str:
    return str(interval["local_start"])[11:16]


def prices(clearing: Any) -> str:
    halves = sorted(each["price_half_micro_per_kwh"] for each in clearing["prices"])
    low, high = (amount(half // 2) for half in (halves[0], halves[-1]))
    return low if low == high else f"{low} – {high}"


def day_rows(world: DayWorld) -> list[Row]:
    by_interval = cleared(world)
    rows: list[Row] = []
    for each in listed(world):
        found = by_interval.get(each["interval"])
        rows.append(
            {
                "Delivery begins": begins(each),
                "Orders": str(each["orders"]),
                "Bids": kwh(found["bids_milli_wh"]) if found else "–",
                "Offers": kwh(found["offers_milli_wh"]) if found else "–",
                "Traded": kwh(found["energy_milli_wh"]) if found else "–",
                "Price per kWh": prices(found) if found else "–",
            }
        )
    return rows


def busy_rows(world: DayWorld) -> list[Row]:
    """Without those that have no orders and had none; no gate of that day is open now."""
    return [row for row in day_rows(world) if row["Orders"] != "0" or row["Bids"] != "–"]


def settled_rows(world: DayWorld, signer: str = "") -> list[Row]:
    rows: list[Row] = []
    for each in listed(world, signer):
        parts = each["settlements"]
        known = [part for part in parts if part["withdrawn_milli_wh"] is not None]
        used = sum(part["withdrawn_milli_wh"] for part in known)
        bought = sum(part["from_upstream_milli_wh"] for part in known)
        share = "–" if used <= 0 else f"{round(1000 * max(0, used - bought) / used) / 10:g}%"
        for place, part in enumerate(parts):
            row = {
                "Delivery begins": begins(each),
                "State": state_words(part),
                "Members": str(part["members"]),
                "Local share": share if place == len(parts) - 1 else "–",
            }
            for title, name, show in (
                ("Contracts", "contracted_milli_wh", kwh),
                ("Withdrawn", "withdrawn_milli_wh", kwh),
                ("Injected", "injected_milli_wh", kwh),
                ("From upstream", "from_upstream_milli_wh", kwh),
                ("To upstream", "to_upstream_milli_wh", kwh),
                ("Penalties", "penalties_micro", amount),
            ):
                row[title] = "–" if part[name] is None else show(part[name])
            rows.append(row)
    return rows


def state_words(part: Any) -> str:
    withheld = part["members"] and part["withdrawn_milli_wh"] is None
    return part["part"] + (", sums for the DSO and auditors" if withheld else "")


def audited_rows(world: DayWorld) -> list[Row]:
    """What an auditor gets told, whose key is open."""
    rows = settled_rows(world, AUDITOR)
    assert any(row["Penalties"] not in ("–", "0.00") for row in rows), rows
    return rows


def full_lines(world: DayWorld) -> list[Row]:
    """Of L1 and L2 only the second carries something: from N1 to N2."""
    lines = world.ask("/markets/feeder/lines")["lines"]
    limits = {line["name"]: line["rating_w"] * 1_000 // 4 for line in lines}
    by_interval = cleared(world)
    rows: list[Row] = []
    for each in listed(world):
        found = by_interval.get(each["interval"])
        if found is None:
            continue
        (flow,) = found["flows"]
        limit = limits[flow["line"]]
        halves = [bus["price_half_micro_per_kwh"] for bus in found["prices"]]
        load = round(1000 * abs(flow["energy_milli_wh"]) / limit) / 10
        rows.append(
            {
                "Delivery begins": begins(each),
                "Fullest line": flow["line"],
                "Flow": kwh(flow["energy_milli_wh"]),
                "Limit": kwh(limit),
                "Loading": f"{load:g}%",
                "Full lines": str(int(abs(flow["energy_milli_wh"]) >= limit)),
                "Between buses": amount((max(halves) - min(halves)) // 2),
            }
        )
    return rows


def gates(world: DayWorld) -> list[Row]:
    (market,) = world.ask("/day-markets")["markets"]
    assert [gate["closes_minute"] for gate in market["gates"]] == [720, 5]
    return [
        {"Gate": "day-ahead", "Takes orders": "the day before from 08:00 to 12:00"},
        {"Gate": "real-time", "Takes orders": "until 5 minutes before delivery"},
    ]


def kwh_or_few(energy: int | None) -> str:
    return "too few to tell" if energy is None else kwh(energy)


def sums(world: DayWorld) -> list[Row]:
    return [
        {
            "Connections": str(each["connections"]),
            "Estimated": str(each["estimated"]),
            "Injected": kwh_or_few(each["injected_milli_wh"]),
            "Withdrawn": kwh_or_few(each["withdrawn_milli_wh"]),
        }
        for each in world.ask("/readings?limit=96")["intervals"]
    ]


def lots(world: DayWorld) -> list[Row]:
    found = world.ask("/certificates")["certificates"]
    assert found
    return [
        {
            "Lot": str(each["lot"]),
            "Plant": each["plant"],
            "Owner": each["owner_name"],
            "Technology": each["technology"],
            "Certificates": str(each["count"]),
            "Energy": kwh(each["count"] * each["unit_milli_wh"]),
        }
        for each in found
    ]


def plants(world: DayWorld) -> list[Row]:
    return [
        {
            "Plant": each["plant"],
            "Owner": each["owner_name"],
            "Measured at": each["member_name"],
            "Capacity": kw(each["capacity_w"]),
            "Issued": str(each["issued"]),
            "State": "in service",
        }
        for each in world.ask("/certificates/plants")["plants"]
    ]


FIGURES: Sequence[tuple[str, int, Callable[[DayWorld], list[Row]]]] = (
    (f"/days/local?day={DAY}", 0, busy_rows),
    (f"/days/local?day={DAY}&all=1", 0, day_rows),
    (f"/days/local?day={DAY}", 1, settled_rows),
    (AUDITED, 1, audited_rows),
    (f"/days/local?day={DAY}", 2, full_lines),
    (f"/days/local?day={DAY}", 3, gates),
    ("/meters", 0, sums),
    ("/certificates", 0, lots),
    ("/certificates", 1, plants),
)


@pytest.mark.browser
@pytest.mark.parametrize(("address", "place", "expected"), FIGURES)
def test_tables_show_what_the_api_says(
    world: DayWorld,
    day_visit: Visit,
    tmp_path: Path,
    address: str,
    place: int,
    expected: Callable[[DayWorld], list[Row]],
) -> None:
    wanted = expected(world)
    assert wanted
    compare(open_page(day_visit, address, tmp_path), place, wanted)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(PHONE, "light", id="phone", marks=pytest.mark.browser),
        pytest.param(PHONE, "dark", id="phone-dark", marks=pytest.mark.browser),
        pytest.param(DESKTOP, "light", id="desktop"),
        pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.browser),
    ],
)
def test_a_day_is_drawn(
    chromium: Browser, world: DayWorld, tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    context = chromium.new_context(
        viewport=size,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        locale="de-DE",
        bypass_csp=True,
    )
    visit = Visit(context, world.url)
    try:
        page = visit.go(f"/days/local?day={DAY}")
        assert page.locator(".chart svg").count() == 3
        points = len(cleared(world))
        words = page.locator(".chart svg").first.get_attribute("aria-label")
        assert words is not None and f"{points} " in words
        expect(page.locator("h1")).to_have_text(f"Tagesmarkt local, {DAY}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
        assert find_faults(page) == []
        picture(page, f"day-{size['width']}-{scheme}", tmp_path)
        assert visit.problems == []
    finally:
        context.close()


@pytest.mark.browser
def test_days_are_walked_through(world: DayWorld, day_visit: Visit) -> None:
    page = day_visit.go("/days/local")
    expect(page.locator("h1")).to_have_text(f"Day market local, {DAY}")
    page.get_by_role("link", name="Day after").click()
    expect(page.locator("h1")).to_have_text("Day market local, 2026-06-22")
    page.get_by_label("Day", exact=True).fill("2026-06-20")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("h1")).to_have_text("Day market local, 2026-06-20")
    expect(page.get_by_text("No interval of this day is settled yet.")).to_be_visible()


def open_page(visit: Visit, address: str, folder: Path) -> Page:
    """Open a page; the one of the day as an auditor, whose key a new address would close."""
    if address != AUDITED:
        return visit.go(address)
    page = open_key(visit, folder, AUDITOR)
    page.get_by_role("navigation").get_by_role("link", name="Day markets").click()
    page.get_by_role("heading", name="Settlement").wait_for()
    return visit.ready()


def open_key(visit: Visit, folder: Path, name: str) -> Page:
    save_browser_key(folder / "key.json", seed(name), PASSWORD, account=id_of(name))
    page = visit.go("/wallet")
    form = page.locator("#import-form")
    form.get_by_label("Key file").set_input_files(folder / "key.json")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Import key").click()
    page.get_by_text("open until you leave or lock").wait_for()
    return page


@pytest.mark.browser
def test_ecoins_are_shown_to_their_owner(world: DayWorld, day_visit: Visit, tmp_path: Path) -> None:
    page = day_visit.go("/")
    expect(page.get_by_role("row", name=re.compile("^Op "))).to_contain_text("0.0 kWh")
    expect(page.get_by_role("row", name=re.compile("^B "))).to_contain_text("–")
    page = day_visit.go("/account/B")
    expect(page.get_by_text("for those whom the readings concern")).to_be_visible()
    page = open_key(day_visit, tmp_path, "B")
    page.locator("[data-address]").first.click()
    held = world.ask("/accounts/B", "B")["energy_milli_wh"]
    assert held > KWH
    expect(page.locator("[data-energy]")).to_have_text(f"{kwh(held)}")


@pytest.mark.browser
def test_a_member_sees_its_orders_and_what_it_can_do(
    world: DayWorld, day_visit: Visit, tmp_path: Path
) -> None:
    page = open_key(day_visit, tmp_path, "C")
    page.get_by_role("navigation").get_by_role("link", name="Day markets").click()
    late = INTERVAL + 12
    position = world.ask(f"{PATH}/intervals/{late}/positions/C")
    section = page.locator("section", has=page.get_by_role("heading", name="Your orders"))
    row = section.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(amount(position["reserved_micro"]))
    (order,) = position["orders"]
    (step,) = order["steps"]
    energy, price = kwh(step["energy_milli_wh"]), amount(step["price_micro_per_kwh"])
    expect(row).to_contain_text(f"{energy} at {price}")


@pytest.mark.browser
@pytest.mark.parametrize("name", ["A", "C"])
def test_a_bill_shows_what_the_signed_api_says(day_visit: Visit, tmp_path: Path, name: str) -> None:
    page, bill = show_bill(day_visit, tmp_path, name)
    assert bill["name"] == name and len(bill["lines"]) > 3
    compare_bill(page, bill)


def show_bill(visit: Visit, folder: Path, name: str) -> tuple[Page, Any]:
    """Open a member's account with its key; return the page, and the bill that the node told it."""
    page = open_key(visit, folder, name)
    with page.expect_response(re.compile("/bills/")) as waiting:
        page.locator("[data-address]").first.click()
    return page, waiting.value.json()


def compare_bill(page: Page, bill: Any) -> None:
    """Hold a bill's total, the sums of each kind and its lines to what its lines add up to."""
    lines = bill["lines"]
    due = sum(line["amount_micro"] for line in lines)
    assert due == bill["totals"]["amount_micro"]
    total = page.locator("[data-bill]")
    total.wait_for()
    assert total.inner_text() == f"{amount(due)} tokens"
    facts = page.locator(".facts", has=total).inner_text()
    for kind in bill["totals"]["kinds"]:
        own = [line for line in lines if line["kind"] == kind["kind"]]
        assert kind["amount_micro"] == sum(line["amount_micro"] for line in own)
        energy = sum(line["energy_milli_wh"] for line in own)
        assert f"{kwh(energy)} · {amount(kind['amount_micro'])}" in facts
    rows = page.locator("table", has=page.get_by_text("lines in this month")).locator("tbody tr")
    shown = rows.evaluate_all(
        "all => all.map(row => [...row.children].map(cell => cell.innerText))"
    )
    assert [[row[0], row[2], row[3]] for row in shown] == [
        [line["local_start"], kwh(line["energy_milli_wh"]), amount(line["amount_micro"])]
        for line in lines
    ]
