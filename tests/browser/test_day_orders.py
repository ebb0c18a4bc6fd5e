"""Orders of a day market from the browser: sealed ones, and forms that new blocks leave alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Visit, picture
from tests.browser.day_world import DayWorld
from tests.browser.test_day_figures import open_key
from tests.browser.test_pages import find_faults
from tests.browser.test_wallet_actions import consent
from tests.ledger.support import seed
from tests.node.api.support import KWH, TOKEN
from tests.node.api.test_day import INTERVAL_MS
from tools.cli import run
from tools.session import Network, save_network
from tools.wallet import Wallet

PATH = "/day-markets/local"
AHEAD = 8
"""Delivery intervals from now to one whose sealed gate, 24 s before it, is open for a while."""
NEAR = 2
"""The same to one whose sealed gate has cleared: the one after it takes orders."""
REDRAW_MS = 5_000
TICK_MS = 200
"""A little more than pages wait after a gate."""
SIZES = [
    pytest.param(PHONE, "A", id="phone", marks=pytest.mark.browser),
    pytest.param(DESKTOP, "B", id="desktop"),
]


@contextmanager
def window(chromium: Browser, world: DayWorld, size: dict[str, int]) -> Iterator[Visit]:
    """Open a window whose clock stands at the chain's time; its timers run."""
    context = chromium.new_context(
        viewport=size,  # type: ignore[arg-type]
        locale="en-GB",
        timezone_id="UTC",
        bypass_csp=True,
    )
    found = Visit(context, world.url)
    found.page.clock.install(time=world.now_ms / 1_000)
    found.page.clock.set_fixed_time(world.now_ms / 1_000)
    try:
        yield found
        assert found.problems == []
    finally:
        context.close()


def fresh_interval(world: DayWorld, ahead: int) -> int:
    """Return an interval so far ahead, after so much time that no test had it."""
    later_ms = world.now_ms + 2 * INTERVAL_MS
    world.act(lambda node: node.grow_until(later_ms))
    return world.now_ms // INTERVAL_MS + ahead


def pass_time(world: DayWorld, page: Page, time_ms: int) -> None:
    """Let it be a time, on the chain and in the window."""
    world.act(lambda node: node.grow_until(time_ms))
    passed_ms = world.now_ms - page.evaluate("Date.now()")
    page.clock.set_fixed_time(world.now_ms / 1_000)
    page.clock.fast_forward(passed_ms + TICK_MS)


def walk(page: Page, address: str) -> None:
    """Follow the navigation: an address typed anew would lock the key."""
    if (menu := page.locator("button.menu")).is_visible():
        menu.click()
    page.locator(f"header a[href='{address}'], nav a[href='{address}']").first.click()
    page.wait_for_selector("main[aria-busy=false]")


def fill(page: Page, interval: int, side: str, *steps: tuple[str, str]) -> Locator:
    """Type an order."""
    form = page.locator("#day-order-form")
    form.get_by_label("Delivery begins").select_option(str(interval))
    form.get_by_label("Side", exact=True).select_option(side)
    for place, (energy, price) in enumerate(steps):
        if place:
            form.get_by_role("button", name="Add a step").click()
        form.locator(f"[name=energy-{place}]").fill(energy)
        form.locator(f"[name=price-{place}]").fill(price)
    return form


def orders(world: DayWorld, interval: int, name: str) -> list[Any]:
    return list(world.ask(f"{PATH}/intervals/{interval}/positions/{name}")["orders"])


def tile(page: Page, order: int) -> Locator:
    return page.locator(".tile", has=page.get_by_text(f"Order {order}", exact=True))


@pytest.mark.parametrize(("size", "name"), SIZES)
def test_sealed_orders_are_committed_to_opened_and_forfeited(
    chromium: Browser, open_world: DayWorld, tmp_path: Path, size: dict[str, int], name: str
) -> None:
    world = open_world
    interval = fresh_interval(world, AHEAD)
    with window(chromium, world, size) as visit:
        page = open_key(visit, tmp_path, name)
        walk(page, "/days")
        form = fill(page, interval, "buy", ("2", "28"))
        option = form.locator(f"option[value='{interval}']")
        expect(option).to_contain_text("(sealed)")
        kept = ("To be opened", "or 2.00 tokens are lost")
        consent(form, "Place order", "commit to a sealed order", "2.0 kWh at 28.00", "62.00", *kept)
        expect(page.locator("[data-sealed=waiting]")).to_have_count(1)
        form = fill(page, interval, "buy", ("1.5", "20"))
        form.get_by_label("Set aside at least").fill("50")
        consent(form, "Place order", "1.5 kWh at 20.00", "52.00")
        expect(page.locator("[data-sealed=waiting]")).to_have_count(2)
        first, second = orders(world, interval, name)
        assert (first["side"], first["steps"], first["cover_micro"]) == (None, [], 60 * TOKEN)
        assert (second["side"], second["cover_micro"]) == (None, 50 * TOKEN)
        stored = page.evaluate("localStorage.getItem('bitenergy.sealed')")
        assert list(*json.loads(stored).values()) == [first["commitment"], second["commitment"]]
        assert "28000000" not in stored and "buy" not in stored
        picture(page, f"sealed-waiting-{size['width']}", tmp_path)

        gate, _ = world.ask(f"{PATH}/intervals/{interval}")["gates"]
        pass_time(world, page, gate["closes_ms"])
        own = tile(page, first["number"])
        own.get_by_role("button", name="Open order").wait_for()
        picture(page, f"sealed-opening-{size['width']}", tmp_path)
        assert find_faults(page) == []
        consent(own, "Open order", f"open order {first['number']}", "Buy", "2.0 kWh at 28.00")
        expect(tile(page, first["number"])).to_have_attribute("data-sealed", "opened")
        opened, closed = orders(world, interval, name)
        assert opened["steps"] == [{"energy_milli_wh": 2 * KWH, "price_micro_per_kwh": 28 * TOKEN}]
        assert (opened["side"], closed["side"]) == ("buy", None)

        pass_time(world, page, gate["clears_ms"] + 1_000)
        lost = tile(page, second["number"])
        expect(lost).to_have_attribute("data-sealed", "forfeited")
        expect(lost).to_contain_text("never opened: 2.00 tokens are lost")
        (told, *_) = world.ask("/modules/day/events?event=forfeit")["events"]
        assert (told["fields"]["order"], told["fields"]["interval"]) == (second["number"], interval)
        expect(tile(page, first["number"])).to_have_attribute("data-sealed", "opened")
        picture(page, f"sealed-forfeited-{size['width']}", tmp_path)
        page.locator("#language").select_option("de")
        expect(page.locator("[data-sealed=forfeited]")).to_contain_text(
            "nie geöffnet: 2,00 Token sind verloren"
        )
        page.locator("[data-sealed=forfeited]").get_by_role("button", name="Vergessen").click()
        expect(page.locator("[data-sealed]")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


@pytest.mark.browser
def test_sealed_orders_are_brought_to_another_browser(
    chromium: Browser, open_world: DayWorld, tmp_path: Path
) -> None:
    world = open_world
    interval = fresh_interval(world, AHEAD)
    with window(chromium, world, DESKTOP) as visit:
        page = open_key(visit, new_folder(tmp_path, "first"), "D")
        walk(page, "/days")
        consent(fill(page, interval, "sell", ("1", "12")), "Place order", "Sell", "24.00")
        expect(page.locator("[data-sealed=waiting]")).to_have_count(1)
        walk(page, "/wallet")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Export sealed orders").click()
        waiting.value.save_as(tmp_path / "orders.json")
    with window(chromium, world, PHONE) as visit:
        page = open_key(visit, new_folder(tmp_path, "stranger"), "C")
        bring(page, tmp_path / "orders.json")
        expect(page.get_by_role("alert")).to_contain_text("no file of sealed orders of this key")
        assert find_faults(page) == []
    with window(chromium, world, PHONE) as visit:
        page = open_key(visit, new_folder(tmp_path, "second"), "D")
        walk(page, "/days")
        expect(page.locator("main")).to_contain_text("its secret is not in this browser")
        walk(page, "/wallet")
        bring(page, tmp_path / "orders.json")
        page.get_by_text("1 sealed orders are here now.").wait_for()
        picture(page, "sealed-wallet", tmp_path)
        walk(page, "/days")
        expect(page.locator("[data-sealed=waiting]")).to_have_count(1)
        gate, _ = world.ask(f"{PATH}/intervals/{interval}")["gates"]
        pass_time(world, page, gate["closes_ms"])
        consent(page.locator("[data-sealed=opening]"), "Open order", "1.0 kWh at 12.00")
        expect(page.locator("[data-sealed=opened]")).to_have_count(1)
        (order,) = orders(world, interval, "D")
        assert order["side"] == "sell"


@pytest.mark.browser
def test_the_command_line_opens_what_a_browser_committed_to(
    chromium: Browser,
    open_world: DayWorld,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world, file = open_world, tmp_path / "orders.json"
    interval = fresh_interval(world, AHEAD)
    with window(chromium, world, DESKTOP) as visit:
        page = open_key(visit, tmp_path, "A")
        walk(page, "/days")
        steps = (("1", "28"), ("0.5", "25.5"))
        consent(fill(page, interval, "buy", *steps), "Place order", "0.5 kWh at 25.50")
        expect(page.locator("[data-sealed=waiting]")).to_have_count(1)
        walk(page, "/wallet")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Export sealed orders").click()
        waiting.value.save_as(file)
    home = tmp_path / "home"
    for name in ("A", "B"):
        Wallet(home).add(name, seed(name), "secret")
    save_network(home, Network(world.node.genesis.digest, world.url.rstrip("/")))
    monkeypatch.setenv("BITENERGY_PASSWORD", "secret")

    def open_orders(name: str) -> tuple[int, str]:
        command = ["--home", str(home), "wallet", "open-orders", str(file)]
        return run([*command, "--from", name, "--json"]), capsys.readouterr().out

    assert open_orders("B")[0] != 0, "not its file"
    status, out = open_orders("A")
    (told,) = json.loads(out)["orders"]
    assert (status, told["state"], told["interval"]) == (1, "wrong_time", interval)
    gate, _ = world.ask(f"{PATH}/intervals/{interval}")["gates"]
    world.act(lambda node: node.grow_until(gate["closes_ms"]))
    status, out = open_orders("A")
    assert (status, json.loads(out)["orders"][0]["state"]) == (0, "opened")
    (order,) = orders(world, interval, "A")
    assert [step["price_micro_per_kwh"] for step in order["steps"]] == [28 * TOKEN, 25_500_000]
    status, out = open_orders("A")
    assert (status, json.loads(out)["orders"][0]["state"]) == (0, "not sealed")


def new_folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def bring(page: Page, file: Path) -> None:
    """Read a file of sealed orders in."""
    page.locator("#sealed-form").get_by_label("File of sealed orders").set_input_files(file)
    page.get_by_role("button", name="Import sealed orders").click()


@pytest.mark.browser
@pytest.mark.parametrize(("size", "name"), [(PHONE, "A"), (DESKTOP, "B")], ids=["phone", "desktop"])
def test_blocks_leave_forms_and_their_dialogs_where_they_are(
    chromium: Browser, open_world: DayWorld, tmp_path: Path, size: dict[str, int], name: str
) -> None:
    world = open_world
    interval = fresh_interval(world, NEAR)
    with window(chromium, world, size) as visit:
        page = open_key(visit, tmp_path, name)
        walk(page, "/days")
        consent(fill(page, interval, "buy", ("1", "25")), "Place order", "place an order")
        cancel = page.get_by_role("button", name="Cancel order").first  # others may stand too
        cancel.wait_for()
        dialog = page.get_by_role("dialog")

        cancel.click()
        expect(dialog).to_contain_text("cancel order")
        let_another_order_come(world, page, interval)
        expect(dialog).to_contain_text("cancel order")
        dialog.get_by_role("button", name="Cancel", exact=True).click()

        form = fill(page, interval, "buy", ("0.5", "24"), ("0.25", "22"))
        let_another_order_come(world, page, interval)
        form.get_by_role("button", name="Place order", exact=True).click()
        let_another_order_come(world, page, interval)
        expect(dialog).to_contain_text("0.5 kWh at 24.00; 0.25 kWh at 22.00")
        dialog.get_by_role("button", name="Sign", exact=True).click()
        expect(form).to_contain_text("Final in block")
        steps = [
            (step["energy_milli_wh"], step["price_micro_per_kwh"])
            for step in orders(world, interval, name)[-1]["steps"]
        ]
        assert steps == [(KWH // 2, 24 * TOKEN), (KWH // 4, 22 * TOKEN)]


def let_another_order_come(world: DayWorld, page: Page, interval: int) -> None:
    """Make a block with an order of another member, and wait until the table counts it."""
    call = ("day", "place", ("local", interval, "sell", ((KWH, 12 * TOKEN),), 255))
    world.act(lambda node: node.grow(node.transaction("C", call)))
    page.clock.fast_forward(REDRAW_MS)
    shown = world.ask(f"{PATH}/intervals/{interval}")
    begins, count = shown["local_start"][11:16], shown["orders"]
    rows = page.locator("table", has=page.get_by_text("Next gate")).locator("tbody tr")
    row = rows.filter(has=page.get_by_role("rowheader", name=begins))
    expect(row.locator("td").nth(1)).to_have_text(str(count), timeout=4 * REDRAW_MS)
