"""One whole story: two people with two browsers make keys, are admitted, trade, and see it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, Explorer, Visit, picture

PASSWORD = "correct horse battery"


def create_key(visit: Visit) -> tuple[str, str]:
    """Make a key as a person does; return its address and public key."""
    page = visit.go("/wallet")
    page.get_by_label("Password", exact=True).last.wait_for()
    form = page.locator("#create-form")
    form.get_by_label("Password", exact=True).fill(PASSWORD)
    form.get_by_label("Password again").fill(PASSWORD)
    form.get_by_role("button").click()
    page.get_by_text("open until you leave or lock").wait_for()
    address = page.locator("[data-address]").get_attribute("data-address")
    key = page.locator("[data-key]").get_attribute("data-key")
    assert address and key
    return address, key


def admit(explorer: Explorer, name: str, role: str, key: str) -> None:
    """What the operator does with the key that somebody sent."""
    run = explorer.commands.run
    run("member", "add", name, "--key", key, "--role", role, "--bus", "N2", "--from", "operator")
    run("wallet", "transfer", name, "100", "--energy", "10kWh", "--from", "operator")


def walk(page: Page, link: str) -> None:
    """Follow a link of the navigation, as the key stays open only within the page."""
    page.get_by_role("navigation").get_by_role("link", name=link, exact=True).click()
    page.wait_for_selector("main[aria-busy=false]")


def test_two_browsers_trade(
    chromium: Browser, explorer: Explorer, visit: Visit, tmp_path: Path
) -> None:
    seller = visit
    context = chromium.new_context(viewport=DESKTOP, locale="de-DE")  # type: ignore[arg-type]
    address, key = create_key(seller)
    admit(explorer, "ann", "prosumer", key)
    post_offer(seller.page)
    picture(seller.page, "story-offer", tmp_path)
    buyer = Visit(context, explorer.url)
    try:
        other, other_key = create_key_in_german(buyer)
        admit(explorer, "ben", "consumer", other_key)
        transaction = buy(buyer.page)
        picture(buyer.page, "story-bought", tmp_path)
        followed = explorer.ask(f"/transactions/{transaction}")
        assert followed["final"] is True
        check_balances(seller, explorer, address)
        check_balances(buyer, explorer, other)
        assert explorer.ask("/accounts/ben")["energy_milli_wh"] == 12_000_000
        ann = explorer.ask("/accounts/ann")
        assert (ann["energy_milli_wh"], ann["energy_reserved_milli_wh"]) == (7_000_000, 1_000_000)
        assert buyer.problems == []
    finally:
        context.close()


def post_offer(page: Page) -> None:
    walk(page, "Exchange")
    page.get_by_role("link", name="spot", exact=True).click()
    page.get_by_role("heading", name="Trade in spot").wait_for()
    form = page.locator("#post-form")
    form.get_by_label("Energy").fill("3")
    form.get_by_label("Price").fill("9.10")
    form.get_by_role("button", name="Post offer").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3.0 kWh")
    dialog.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_text("Final in block").wait_for()
    page.get_by_role("heading", name="Your offers").wait_for()


def create_key_in_german(visit: Visit) -> tuple[str, str]:
    page = visit.go("/wallet")
    form = page.locator("#create-form")
    form.get_by_label("Passwort", exact=True).fill(PASSWORD)
    form.get_by_label("Passwort noch einmal").fill(PASSWORD)
    form.get_by_role("button").click()
    page.get_by_text("offen, bis Sie gehen oder sperren").wait_for()
    address = page.locator("[data-address]").get_attribute("data-address")
    key = page.locator("[data-key]").get_attribute("data-key")
    assert address and key
    return address, key


def buy(page: Page) -> str:
    """Look at the preview, buy 2 kWh, and return the transaction's id."""
    walk(page, "Handeln")
    page.get_by_role("link", name="spot", exact=True).click()
    page.get_by_role("heading", name="Handeln in spot").wait_for()
    form = page.locator("#buy-form")
    form.get_by_label("Energie").fill("2,0")
    form.get_by_label("Höchster Preis").fill("9,5")
    form.get_by_role("button", name="Vorschau").click()
    seen = page.locator("[data-preview]")
    expect(seen).to_contain_text("ann")
    expect(seen).to_contain_text("18,20")
    form.get_by_role("button", name="Kaufen").click()
    page.get_by_role("dialog").get_by_role("button", name="Unterschreiben", exact=True).click()
    done = page.locator("[data-final]")
    done.wait_for()
    found = done.get_attribute("data-final")
    assert found
    return found


def check_balances(visit: Visit, explorer: Explorer, address: str) -> None:
    page = visit.go(f"/account/{address}")
    account = explorer.ask(f"/accounts/{address}")
    for name, field in (("money", "money_micro"), ("energy", "energy_milli_wh")):
        shown = page.locator(f"[data-{name}]").get_attribute(f"data-{name}")
        assert shown == str(account[field]), name


def test_keys_go_between_browser_and_command_line(
    explorer: Explorer, visit: Visit, tmp_path: Path
) -> None:
    commands = explorer.commands
    settings = {"BITENERGY_HOME": str(tmp_path / "home"), "BITENERGY_PASSWORD": PASSWORD}
    person = type(commands)(tmp_path, settings)
    address, key = create_key(visit)
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name="Export", exact=True).click()
    exported = tmp_path / "from-browser.json"
    waiting.value.save_as(exported)
    exported.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert person.ask("wallet", "import", "mine", str(exported))["address"] == address

    made = person.ask("wallet", "create", "other")
    person.run("wallet", "export", "other", "to-browser.json")
    assert json.loads((tmp_path / "to-browser.json").read_text())["protection"]["kdf"]
    form = visit.page.locator("#import-form")
    form.get_by_label("Key file").set_input_files(tmp_path / "to-browser.json")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Import key").click()
    visit.page.locator(f"[data-address={made['address']}]").wait_for()

    visit.page.locator("#import-form").get_by_label("Key file").set_input_files(
        tmp_path / "to-browser.json"
    )
    visit.page.locator("#import-form").get_by_label("Password").fill("wrong password")
    visit.page.locator("#import-form").get_by_role("button", name="Import key").click()
    visit.page.get_by_text("The password does not open this key.").wait_for()
    assert key != made["public_key"]
