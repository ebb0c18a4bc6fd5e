"""What members do from the browser beyond the posted market: each call is told in words, signed,
final, and then what the API says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Explorer, Visit, picture
from tests.e2e.support import KWH, TOKEN, Json

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
SLOW_MS = 60_000


def open_key(explorer: Explorer, visit: Visit, folder: Path, name: str) -> Page:
    """Bring a member's key from the command line into the browser."""
    commands = explorer.commands
    settings = {**commands.settings, "BITENERGY_PASSWORD": PASSWORD}
    person = type(commands)(folder, settings)
    person.run("wallet", "export", name, str(folder / "key.json"))
    page = visit.go("/wallet")
    form = page.locator("#import-form")
    form.get_by_label("Key file").set_input_files(folder / "key.json")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Import key").click()
    page.get_by_text("open until you leave or lock").wait_for(timeout=SLOW_MS)
    return page


def walk(page: Page, link: str, *further: str) -> None:
    """Follow the navigation, then links in the page: an address typed anew would lock the key."""
    page.get_by_role("navigation").get_by_role("link", name=link, exact=True).click()
    page.wait_for_selector("main[aria-busy=false]")
    for name in further:
        page.locator("main").get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_selector("main[aria-busy=false]")


def consent(form: Locator, button: str, *words: str) -> None:
    """Press a form's button, read what is to be signed, and sign it."""
    form.get_by_role("button", name=button, exact=True).click()
    dialog = form.page.get_by_role("dialog")
    for each in words:
        expect(dialog).to_contain_text(each)
    dialog.get_by_role("button", name="Sign", exact=True).click()
    expect(dialog).to_have_count(0)


def sign(form: Locator, button: str, *words: str) -> None:
    """Sign what a form's button asks for, and wait until it is final."""
    page = form.page
    before = page.evaluate("performance.now()")
    consent(form, button, *words)
    page.wait_for_function(
        "(before) => performance.getEntriesByName('final').some((one) => one.startTime > before)",
        arg=before,
        timeout=SLOW_MS,
    )


def fill(form: Locator, values: Mapping[str, str]) -> None:
    for label, value in values.items():
        form.get_by_label(label).first.fill(value)


def rows(answer: Json, name: str, member: str, field: str = "member_name") -> list[Json]:
    found = answer[name]
    assert isinstance(found, list)
    return [each for each in found if each[field] == member]


def test_auctions(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "P3")
    walk(page, "Auctions", "day-ahead")
    form = page.locator("#order-form")
    form.get_by_label("Side").select_option("sell")
    form.get_by_role("button", name="Add a step").click()
    for place, (energy, price) in enumerate((("1", "9"), ("1.5", "12.25"))):
        page.locator(f"#field-energy-{place}").fill(energy)
        page.locator(f"#field-price-{place}").fill(price)
    interval = form.get_by_label("Delivery begins").input_value()
    sign(form, "Place order", "Sell", "1.0 kWh at 9.00; 1.5 kWh at 12.25")
    (order,) = rows(explorer.ask(f"/auctions/day-ahead/intervals/{interval}"), "book", "P3")
    assert order["steps"] == [
        {"energy_milli_wh": KWH, "price_micro_per_kwh": 9 * TOKEN},
        {"energy_milli_wh": KWH * 3 // 2, "price_micro_per_kwh": 12_250_000},
    ]
    own = page.locator(".tile", has=page.get_by_text(f"Order {order['order']}"))
    picture(page, "actions-auction", tmp_path)
    sign(own, "Cancel order", f"cancel order {order['order']}")
    page.get_by_text("You have no orders in this auction.").wait_for()
    assert rows(explorer.ask(f"/auctions/day-ahead/intervals/{interval}"), "book", "P3") == []


def test_sealed_orders(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "P3")
    walk(page, "Auctions", "quick-sealed")
    form = page.locator("#order-form")
    form.get_by_label("Delivery begins").select_option(index=2)
    form.get_by_label("Side").select_option("sell")
    page.locator("#field-energy-0").fill("2")
    page.locator("#field-price-0").fill("9")
    sign(form, "Commit to an order", "commit to a sealed order", "5.00 tokens · 2.0 kWh")
    standing = explorer.ask("/auctions/quick-sealed/intervals")["intervals"]
    assert isinstance(standing, list)
    path = f"/auctions/quick-sealed/intervals/{standing[0]['interval']}"
    (order,) = rows(explorer.ask(path), "book", "P3")
    assert (order["side"], order["steps"]) == (None, [])
    tile = page.locator(".tile", has=page.get_by_text(f"Order {order['order']}"))
    tile.get_by_role("button", name="Open order").wait_for(timeout=SLOW_MS)
    sign(tile, "Open order", "Sell", "2.0 kWh at 9.00")
    page.get_by_text("sold 0.0 kWh for 0.00").wait_for(timeout=SLOW_MS)
    cleared = explorer.ask("/auctions/quick-sealed/clearings?member=P3")["clearings"]
    assert isinstance(cleared, list)
    assert (cleared[0]["orders"], cleared[0]["forfeits"]) == (1, 0)
    assert cleared[0]["awards"][0]["residual_milli_wh"] == 2 * KWH


def test_quotas_and_demand_response(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "P2")
    walk(page, "Charging quotas", "1")
    fill(page.locator("#demand-form"), {"Power (kW)": "3.5"})
    sign(page.locator("#demand-form"), "Demand", "3.5 kW")
    (station,) = rows(explorer.ask("/quotas/1"), "charging", "P2", "station_name")
    assert station["demand_w"] == 3_500
    sign(page.locator("main"), "Take deposit back", "21.00")
    assert rows(explorer.ask("/quotas/1"), "charging", "P2", "station_name") == []

    walk(page, "Demand response")
    page.locator("main").get_by_role("link", name="1", exact=True).first.click()
    page.get_by_role("heading", name="Demand response, round 1").wait_for()
    form = page.locator("#response-order-form")
    form.get_by_label("Side").select_option("supply")
    fill(form, {"Energy (kWh)": "1", "Price (tokens per kWh)": "7.5"})
    sign(form, "Place order", "offer energy", "1.0 kWh", "7.50")
    (order,) = rows(explorer.ask("/response/rounds/1"), "orders", "P2")
    assert (order["side"], order["price_micro_per_kwh"]) == ("sell", 7_500_000)
    sign(page.locator("main"), "Cancel order", "cancel your order")
    assert rows(explorer.ask("/response/rounds/1"), "orders", "P2") == []

    walk(page, "Demand response")
    page.locator("main a[href='/response/event/1']").click()
    page.get_by_role("heading", name="Call 1 for another demand").wait_for()
    fill(page.locator("#enrol-form"), {"Promise in interval 1": "0.25"})
    sign(page.locator("#enrol-form"), "Promise", "0.25 kWh, 0.0 kWh")
    (enrolled,) = rows(explorer.ask("/response/events/1"), "enrolled", "P2")
    assert enrolled["promised_milli_wh"] == [KWH // 4, 0]
    page.get_by_text("You have promised").wait_for()


def test_stakes(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "C2")
    walk(page, "Stakes")
    form = page.locator("#delegate-form")
    form.get_by_label("Validator").select_option(label="V2")
    fill(form, {"Stake (tokens)": "20"})
    sign(form, "Stake", "V2", "20.00")
    (stake,) = rows(explorer.ask("/stakes/C2"), "stakes", "V2", "validator_name")
    assert stake["stake_micro"] == 20 * TOKEN
    tile = page.locator(".tile", has=page.get_by_text("Stake with V2"))
    fill(tile, {"Stake (tokens)": "5"})
    sign(tile, "Take stake back", "V2", "5.00")
    page.get_by_role("heading", name="On the way out").wait_for()
    (leaving,) = rows(explorer.ask("/stakes/C2"), "unbondings", "V2", "validator_name")
    assert leaving["amount_micro"] == 5 * TOKEN
    picture(page, "actions-stakes", tmp_path)


def test_readings_are_for_whom_they_concern(
    explorer: Explorer, visit: Visit, tmp_path: Path
) -> None:
    page = open_key(explorer, visit, tmp_path, "P1")
    walk(page, "Meters")
    section = page.locator("section", has=page.get_by_role("heading", name="Readings")).first
    table = section.locator("table")
    expect(table.locator("tbody tr", has_text="measurement")).to_have_count(3)
    shown = table.locator("tbody tr", has_text="measurement").all_inner_texts()
    assert [" ".join(row.split("\t")[1:3]) for row in shown] == [
        "0.0 kWh 1.5 kWh",
        "2.0 kWh 0.5 kWh",
        "1.0 kWh 0.0 kWh",
    ]
    picture(page, "actions-readings", tmp_path)
    section.get_by_label("Whose readings").fill("C1")
    section.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("Readings are personal")
    visit.problems = [each for each in visit.problems if "403" not in each]
    section.get_by_text("Who may see your readings").first.click()
    form = page.locator("#reader-form")
    fill(form, {"A member's name or an address.": "C2"})
    sign(form, "Who may see your readings", "let C2 see your readings from now on")


def test_bills_are_for_whom_they_concern(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "P1")
    page.locator("[data-address]").first.click()
    page.get_by_text("The bill has no lines in this month.").wait_for()
    line = {"kind": "retail", "energy_milli_wh": KWH * 3 // 2, "amount_micro": 52_500_000}
    begins = "2026-06-01T12:00+02:00"
    where = {
        "interval": 1,
        "local_start": begins,
        "value": "1",
        "part": "settled",
    }
    totals = {"lines": 1, "amount_micro": 52_500_000, "kinds": [line]}
    bill = {"totals": totals, "lines": [line | where], "next": None}
    # Hours must pass until an interval is settled: what the node would then answer.
    page.route("**/bills/**", lambda route: route.fulfill(json=bill))
    page.get_by_label("Month").fill("2026-06")
    page.locator("form", has=page.get_by_label("Month")).get_by_role("button").click()
    expect(page.locator("[data-bill]")).to_have_text("52.50 tokens")
    row = page.locator("tr", has_text=begins)
    expect(row).to_contain_text("1.5 kWh")
    expect(row).to_contain_text("from upstream, at retail")
    picture(page, "actions-bill", tmp_path)


def test_certificates_are_given_and_retired_after_a_word(
    explorer: Explorer, visit: Visit, tmp_path: Path
) -> None:
    address = explorer.ask("/accounts/P1")["address"]
    times = {"produced_from_ms": 1, "produced_until_ms": 3_600_001, "expires_ms": 2**42}
    lot = {"lot": 7, "plant": "<b>roof</b>", "first_serial": 1, "count": 3, "technology": "solar"}
    owned = {"owner": address, "owner_name": "P1", "unit_milli_wh": KWH}
    answer = explorer.ask("/certificates") | {"certificates": [lot | owned | times]}
    # Days must pass until an energy is final and certified: what the node would then answer.
    visit.page.route("**/api/v1/certificates?**", lambda route: route.fulfill(json=answer))
    page = open_key(explorer, visit, tmp_path, "P1")
    walk(page, "Certificates")
    row = page.locator("tr", has_text="<b>roof</b>").first
    expect(row).to_contain_text("3.0 kWh")
    expect(page.locator("tr", has_text="20.0 kW")).to_contain_text("in service")
    form = page.locator("#retire-form")
    fill(form, {"Certificates": "2", "For whom": "<i>Ann</i>"})
    form.get_by_role("button", name="Retire").click()
    dialog = page.get_by_role("dialog")
    for words in ("retire certificates for good", "<i>Ann</i>", "2"):
        expect(dialog).to_contain_text(words)
    picture(page, "actions-certificates", tmp_path)
    dialog.get_by_role("button", name="Cancel").click()
    expect(form).to_contain_text("Nothing was signed.")
    assert page.locator("main i, main b").count() == 0


def test_governance(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "operator")
    walk(page, "Governance")
    form = page.locator("#propose-form")
    form.get_by_label("Rule").select_option("market.feeder.penalty_price")
    fill(form, {"New value": "0.15", "What for": "<b>less</b>"})
    height = form.get_by_label("From height").input_value()
    sign(form, "Propose a change", "market.feeder.penalty_price=0.15", "<b>less</b>")
    proposal = explorer.ask("/proposals/2")
    assert (proposal["height"], proposal["about"]) == (int(height), "<b>less</b>")
    assert proposal["values"] == {"penalty_price_micro_per_kwh": 150_000}
    page.locator("main a[href='/governance/2']").click()
    page.get_by_role("heading", name="Proposal 2").wait_for()
    form = page.locator("#vote-form")
    form.get_by_label("Your vote").select_option("no")
    sign(form, "Vote", "vote on proposal 2", "no")
    (ballot,) = rows(explorer.ask("/proposals/2"), "ballots", "operator", "account_name")
    assert ballot["choice"] == "no"
    assert page.locator("main b").count() == 0


def test_what_the_chain_refuses_is_said(explorer: Explorer, visit: Visit, tmp_path: Path) -> None:
    page = open_key(explorer, visit, tmp_path, "C1")
    walk(page, "Governance")
    form = page.locator("#propose-form")
    form.get_by_label("Rule").select_option("market.feeder.penalty_price")
    fill(form, {"New value": "much"})
    form.get_by_role("button", name="Propose a change").click()
    expect(form.get_by_role("alert")).to_contain_text("“much” is not an amount")
    fill(form, {"New value": "0.3"})
    form.get_by_role("button", name="Propose a change").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(form).to_contain_text("Nothing was signed.")
    form.get_by_role("button", name="Propose a change").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("vote", timeout=SLOW_MS)
    assert rows(explorer.ask("/proposals"), "proposals", "C1", "proposer_name") == []
