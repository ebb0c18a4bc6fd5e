"""Each page: ready, true to the API, readable by all, and loading nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, HOSTILE, PHONE, Explorer, Visit, picture
from tools.explorer.files import PAGES

BROWSER = pytest.mark.browser
MOST_BYTES = 300_000
ADDRESSES = (
    "/",
    "/blocks",
    "/block/5",
    "/transactions",
    "/account/C1",
    "/market/spot",
    "/exchange/spot",
    "/transfer",
    "/grid/feeder",
    "/network",
    "/verify?account=S1",
    "/wallet",
    "/contracts",
    "/dispatch",
    "/meters",
    "/certificates",
    "/governance",
    "/stakes",
    "/days",
    "/auctions/day-ahead",
    "/quotas",
    "/response",
)
DETAILS = (
    "/dispatch/1",
    "/governance/1",
    "/stakes/V1",
    "/auctions/quick",
    "/quotas/1",
    "/response/round/1",
    "/response/event/1",
    "/grid/feeder?source=trades",
)
LED_TO = {"transaction"}
"""Pages that need an id, which another test takes from a list."""
CHARTS = ("/account/C1", "/market/spot", "/auctions/day-ahead", "/dispatch/1")


@pytest.mark.parametrize(
    "size",
    [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop", marks=BROWSER)],
)
@pytest.mark.parametrize(
    "address", [*ADDRESSES, *(pytest.param(each, marks=BROWSER) for each in DETAILS)]
)
def test_pages_are_whole(
    chromium: Browser, explorer: Explorer, tmp_path: Path, address: str, size: dict[str, int]
) -> None:
    context = chromium.new_context(viewport=size, locale="en-GB", bypass_csp=True)  # type: ignore[arg-type]
    visit = Visit(context, explorer.url)
    try:
        page = visit.go(address)
        if address in CHARTS:
            page.locator(".chart svg").first.wait_for()
        else:
            assert visit.bytes < MOST_BYTES
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
        assert find_faults(page) == []
        name = re.sub(r"\W+", "-", address).strip("-") or "home"
        picture(page, f"{name}-{size['width']}", tmp_path)
        assert visit.problems == []
    finally:
        context.close()


def find_faults(page: Page) -> list[str]:
    """Return what axe-core finds wrong for people who see, hear or move differently."""
    found = find_spec("axe_core_python")
    assert found is not None and found.origin is not None
    page.add_script_tag(path=Path(found.origin).with_name("axe.min.js"))
    results = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{fault['id']}: {fault['nodes'][0]['html'][:200]}" for fault in results["violations"]]


def test_every_page_is_opened() -> None:
    assert {address.split("/")[1].partition("?")[0] for address in ADDRESSES} == PAGES - LED_TO


@BROWSER
def test_home_shows_what_the_api_says(explorer: Explorer, visit: Visit) -> None:
    page = visit.go("/")
    members = explorer.ask("/members?limit=100")["members"]
    assert isinstance(members, list)
    for member in members:
        row = page.locator("tr", has=page.get_by_role("link", name=member["name"], exact=True)).last
        expect(row).to_contain_text(f"{member['money_micro'] / 1_000_000:,.2f}")
        held = member["energy_milli_wh"]
        # What a member with a meter holds is a reading.
        expect(row).to_contain_text("–" if held is None else f"{held / 1_000_000:,.1f} kWh")
    expect(page.locator(".tiles")).to_contain_text("4 / 4")


def test_what_members_wrote_is_text(explorer: Explorer, visit: Visit) -> None:
    history = explorer.ask("/accounts/C1/history?what=accounts")["history"]
    assert isinstance(history, list)
    page = visit.go(f"/transaction/{history[0]['transaction_id']}")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0


def test_new_blocks_arrive_by_themselves(explorer: Explorer, visit: Visit) -> None:
    page = visit.go("/blocks")
    page.locator(".state-live").wait_for()
    before = explorer.ask("/status")["height"]
    assert isinstance(before, int)
    explorer.commands.run("wallet", "transfer", "P2", "0.01", "--from", "C2")
    page.get_by_role("link", name=str(before + 1), exact=True).wait_for()


def test_a_lost_connection_is_shown_and_mended(visit: Visit) -> None:
    page = visit.go("/blocks")
    page.locator(".state-live").wait_for()
    visit.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    visit.context.set_offline(False)
    page.locator(".state-live").wait_for()


@BROWSER
@pytest.mark.parametrize(
    ("typed", "title"), [("3", "Block 3"), ("C1", "C1"), ("nobody.here", "Search")]
)
def test_search_finds_what_is_named(visit: Visit, typed: str, title: str) -> None:
    page = visit.go("/")
    page.get_by_role("searchbox").fill(typed)
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("heading", name=title, exact=True).wait_for()
    visit.problems = [each for each in visit.problems if "404" not in each]


@BROWSER
def test_tables_are_downloaded_as_csv(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = visit.go("/")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").last.click()
    waiting.value.save_as(tmp_path / "members.csv")
    lines = (tmp_path / "members.csv").read_text("utf-8").splitlines()
    assert lines[0] == "Name,Roles,Money,Energy,On offer,Bus"
    money = explorer.ask("/accounts/C1")["money_micro"]
    assert any(line.startswith(f"C1,consumer,{money},") for line in lines)


def test_the_index_names_every_page() -> None:
    text = Path("tools/explorer/web/app.js").read_text("utf-8")
    table = text.partition("const PAGES = {")[2].partition("};")[0]
    named = set(re.findall(r'^  "?(\w*)"?: \{ module', table, re.MULTILINE))
    assert named == PAGES
    listed = text.partition("const NAVIGATION = [")[2].partition("];")[0]
    under = set(re.findall(r'under: "(\w+)"', table))
    assert (
        under
        <= set(re.findall(r'"(\w*)"', listed))
        <= named
        | {"group_trade"}
        | {
            "group_grid",
            "group_chain",
            "group_network",
        }
    )
