"""Text that members wrote, however hostile or long, is shown as text and stays in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, PHONE, Explorer, Visit
from tests.e2e.full_network import HOSTILE

OVERRIDE = "\u202e"
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"
LONG = "w" * 10_240
SOURCE = f'''"""A box {MARKUP} {OVERRIDE}txt.exe, and one word: {LONG}"""

note: str


@init
def start(text: str):
    self.note = text


@view
def read() -> str:
    return self.note
'''


@pytest.fixture(scope="module")
def contract(explorer: Explorer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a contract whose source and text nobody should trust."""
    path = tmp_path_factory.mktemp("hostile") / "box.py"
    path.write_text(SOURCE, "utf-8")
    deploy = ("contract", "deploy", str(path), MARKUP + OVERRIDE, "--name", "box", "--from", "P1")
    explorer.commands.run(*deploy)
    found = explorer.ask("/contracts/box")
    assert found["source"] == SOURCE
    return str(found["address"])


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_sources_are_text(
    chromium: Browser, explorer: Explorer, contract: str, size: dict[str, int]
) -> None:
    context = chromium.new_context(viewport=size, locale="en-GB")  # type: ignore[arg-type]
    visit = Visit(context, explorer.url)
    try:
        page = visit.go(f"/contracts/{contract}")
        source = page.locator("main pre").last
        assert source.text_content() == SOURCE
        assert page.locator("main img, main script, main b").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # What turns the direction of writing ends with the element that holds it.
        assert source.evaluate("e => getComputedStyle(e).unicodeBidi") in ("isolate", "plaintext")
        assert visit.problems == []
    finally:
        context.close()


def test_addresses_and_searches_are_text(visit: Visit) -> None:
    page = visit.go("/")
    page.get_by_role("searchbox").fill(MARKUP)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("main")).to_contain_text("<img src=x")
    assert page.locator("main img, main b").count() == 0
    for path in (
        f"/account/{LONG[:900]}",
        "/account/%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/market/%3Cb%3E",
        "/governance/%3Cb%3E",
        f"/stakes/{LONG[:900]}",
        "/stakes/%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/auctions/%3Cb%3E?interval=%3Cb%3E",
        "/quotas/%3Cb%3E",
        "/response/round/%3Cb%3E",
        "/response/event/%3Cb%3E",
        "/grid/%3Cb%3E?source=%3Cb%3E",
    ):
        visit.page.goto(visit.url + path.lstrip("/"))
        page.wait_for_selector("main[data-ready][aria-busy=false]")
        assert page.locator("main img, main b").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Chromium notes each refusal of the API, which is what was asked for.
    visit.problems = [each for each in visit.problems if "status of 40" not in each]


def test_proposals_and_reports_of_shadows_are_text(visit: Visit) -> None:
    page = visit.go("/governance")
    expect(page.locator("main td", has_text="<img src=x")).to_have_text(HOSTILE)
    page = visit.go("/governance/1")
    side = {"blocks": 1, "transactions": 1, "failed": 0, "gas": 1}
    sums = ("trades", "energy_milli_wh", "amount_micro", "penalty_micro")
    market = dict.fromkeys((*sums, "mean_price_micro_per_kwh"), 0)
    member = {"name": MARKUP + OVERRIDE + LONG, "address": MARKUP, "bill_change_micro": 0}
    report = {
        "changes": [MARKUP + LONG],
        "from": 1,
        "to": 2,
        "live": side,
        "shadow": side,
        "markets": [{"market": MARKUP + LONG, "live": market, "shadow": market}],
        "members": [member | {"live": {"bill_micro": 0}, "shadow": {"bill_micro": 0}}],
        "broken_invariants": [MARKUP],
    }
    for content in (json.dumps(report), MARKUP):
        page.get_by_label("Report of the shadow").set_input_files(
            files=[{"name": "r.json", "mimeType": "text/html", "buffer": content.encode()}]
        )
        if content is not MARKUP:
            page.get_by_text("Bills of members").wait_for()
        else:
            expect(page.get_by_role("alert")).to_contain_text("This is no report")
        assert page.locator("main img, main b, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_key_files_with_hostile_names_are_text(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"kind": MARKUP, "name": MARKUP + OVERRIDE}), "utf-8")
    page = visit.go("/wallet")
    form = page.locator("form", has=page.locator("input[type=file]"))
    form.locator("input[type=file]").set_input_files(path)
    form.get_by_label("Password", exact=True).fill("some password")
    form.get_by_role("button", name="Import key").click()
    page.get_by_role("alert").first.wait_for()
    assert page.locator("main img, main b").count() == 0
