"""What pages show beside what the API says: every table's figures, prices at buses, full lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Explorer, Visit
from tests.e2e.full_network import HOSTILE
from tests.e2e.support import Json

pytestmark = pytest.mark.browser

Row = Mapping[str, str]
Ask = Callable[[str], Json]
READ_TABLES = """() => [...document.querySelectorAll("main table")].map((table) =>
  [...table.querySelectorAll("tbody tr")].map((row) =>
    Object.fromEntries([...row.children].map((cell) => [cell.dataset.title, cell.innerText]))))"""
READ_NUMBERS = """(place) => [...document.querySelectorAll("main table")[place]
  .querySelectorAll("thead th.number")].map((title) => title.innerText)"""
UNITS_PER_KWH = 10**21
SIDES = {"buy": "Buy", "sell": "Sell"}
WHOLE = ("/auctions", "/certificates", "/days", "/meters", "/quotas", "/response")
"""Pages in whose tables no column of figures may go without a comparison."""


def amount(value: object, least: int = 2) -> str:
    """Write millionths as the pages do: exactly, with at least so many decimals."""
    number = int(str(value))
    whole, rest = divmod(abs(number), 1_000_000)
    decimals = f"{rest:06d}".rstrip("0").ljust(least, "0")
    return f"{'-' if number < 0 else ''}{whole:,}.{decimals}"


def kwh(value: object) -> str:
    return f"{amount(value, 1)} kWh"


def kw(value: object) -> str:
    return f"{amount(int(str(value)) * 1_000, 1)} kW"


def who(entry: Json, field: str) -> str:
    return str(entry[f"{field}_name"])


def signed(value: object, show: Callable[[object], str]) -> str:
    if value is None:
        return "–"
    return f"+{show(value)}" if int(str(value)) > 0 else show(value)


def nodal_price(units: object) -> int:
    """Return a nodal price in micro-tokens per kWh at 100 tokens per dollar, to the nearest."""
    exact = Fraction(int(str(units)) * 100_000_000, UNITS_PER_KWH)
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def entries(answer: Json, name: str) -> list[Json]:
    found = answer[name]
    assert isinstance(found, list) and found, name
    return found


def blocks(ask: Ask) -> list[Row]:
    return [
        {"Height": str(b["height"]), "Transactions": str(b["transactions"])}
        for b in entries(ask("/blocks?limit=25"), "blocks")
    ]


def transactions(ask: Ask) -> list[Row]:
    return [
        {
            "Block": str(each["height"]),
            "Sender": who(each, "sender"),
            "What": ", ".join(map(str, each["calls"])),  # type: ignore[call-overload]
            "Gas": f"{each['gas_used']:,}",
        }
        for each in entries(ask("/transactions?limit=50"), "transactions")
    ]


def history(ask: Ask) -> list[Row]:
    return [
        {
            "What": str(each["what"]),
            "Money": signed(each["money_micro"], amount),
            "Energy": signed(each["energy_milli_wh"], kwh),
        }
        for each in entries(ask("/accounts/C1/history?limit=50"), "history")
    ]


def unasked(ask: Ask) -> list[Row]:
    return [
        {
            "Block": str(each["height"]),
            "What": str(each["what"]),
            "Money": signed(each["money_micro"], amount),
            "Energy": signed(each["energy_milli_wh"], kwh),
        }
        for each in entries(ask("/accounts/C1/unasked"), "unasked")
    ]


def offers(ask: Ask) -> list[Row]:
    return [
        {
            "Offer": str(each["id"]),
            "Seller": who(each, "seller"),
            "Price per kWh": amount(each["price_micro_per_kwh"]),
            "Energy": kwh(each["energy_milli_wh"]),
        }
        for each in entries(ask("/markets/spot/offers"), "offers")
    ]


def trades(ask: Ask) -> list[Row]:
    return [
        {
            "Buyer": who(each, "buyer"),
            "Seller": who(each, "seller"),
            "Energy": kwh(each["energy_milli_wh"]),
            "Price per kWh": amount(each["price_micro_per_kwh"]),
            "Amount": amount(each["amount_micro"]),
        }
        for each in entries(ask("/markets/spot/trades"), "trades")
    ]


def market_lines(ask: Ask) -> list[Row]:
    return [
        {
            "Line": str(each["name"]),
            "Flow": kwh(each["flow_milli_wh"]),
            "Limit": kwh(each["limit_milli_wh"]),
            "Rating": kw(each["rating_w"]),
            "Owner": who(each, "owner"),
        }
        for each in entries(ask("/markets/feeder/lines"), "lines")
    ]


def rounds(ask: Ask) -> list[Row]:
    return [
        {
            "Round": str(each["number"]),
            "Area": str(each["area"]),
            "Proved by": who(each, "submitter"),
        }
        for each in entries(ask("/dispatch/rounds"), "rounds")
    ]


def first_hour(ask: Ask) -> Json:
    return entries(ask("/dispatch/rounds/1"), "results")[0]


def hour_prices(ask: Ask) -> list[Row]:
    prices = first_hour(ask)["lambda"]
    assert isinstance(prices, dict)
    return [
        {"Bus": bus, "Price per kWh": amount(nodal_price(value))} for bus, value in prices.items()
    ]


def hour_powers(ask: Ask) -> list[Row]:
    powers = first_hour(ask)["p_w"]
    assert isinstance(powers, dict)
    return [{"Unit": unit, "Power": kw(value)} for unit, value in powers.items()]


def peers(ask: Ask) -> list[Row]:
    return [{"Name": str(each["name"])} for each in entries(ask("/peers"), "peers")]


def proposals(ask: Ask) -> list[Row]:
    assert len(entries(ask("/proposals"), "proposals")) == 1
    change = "market.spot.penalty_price=0.25"
    return [{"Number": "1", "Change": change, "From height": "100,000", "What for": HOSTILE}]


def ballots(ask: Ask) -> list[Row]:
    return [
        {"Member": who(each, "account"), "Vote": str(each["choice"]), "Weight": str(each["weight"])}
        for each in ask("/proposals/1")["ballots"]  # type: ignore[attr-defined]
    ]


def stakes(ask: Ask) -> list[Row]:
    powers = {each["address"]: each["power"] for each in entries(ask("/validators"), "validators")}
    staked = {each["validator"]: each for each in entries(ask("/staking"), "validators")}
    return [
        {
            "Name": who(staked[account], "validator"),
            "Voting power": str(power),
            "Share": "25%",
            "Stake": amount(staked[account]["stake_micro"]),
        }
        for account, power in powers.items()
    ]


def own_stakes(ask: Ask) -> list[Row]:
    return [
        {"Validator": who(each, "validator"), "Stake": amount(each["stake_micro"])}
        for each in entries(ask("/stakes/V1"), "stakes")
    ]


def book(ask: Ask) -> list[Row]:
    interval = entries(ask("/auctions/day-ahead/intervals"), "intervals")[0]["interval"]
    return [
        {
            "Order": str(each["order"]),
            "Member": who(each, "member"),
            "Side": SIDES[str(each["side"])],
            "Set aside": set_aside(each),
            "Energy and price": "; ".join(
                f"{kwh(step['energy_milli_wh'])} at {amount(step['price_micro_per_kwh'])}"
                for step in each["steps"]  # type: ignore[attr-defined]
            ),
        }
        for each in entries(ask(f"/auctions/day-ahead/intervals/{interval}"), "book")
    ]


def set_aside(order: Json) -> str:
    money = int(str(order["cover_micro"])) + int(str(order["deposit_micro"]))
    energy = int(str(order["cover_milli_wh"]))
    found = [f"{amount(money)} tokens"] * bool(money) + [kwh(energy)] * bool(energy)
    return " · ".join(found) or "–"


def intervals(ask: Ask) -> list[Row]:
    return [
        {"State": "takes orders", "Orders": str(each["orders"])}
        for each in entries(ask("/auctions/day-ahead/intervals"), "intervals")
    ]


def cleared(ask: Ask) -> list[Row]:
    return [
        {
            "Block": str(each["height"]),
            "Volume": kwh(each["energy_milli_wh"]),
            "Price per kWh": amount(int(str(each["buyer_price_half_micro_per_kwh"])) // 2),
            "Orders": str(each["orders"]),
            "Never opened": str(each["forfeits"]),
        }
        for each in entries(ask("/auctions/quick/clearings"), "clearings")
    ]


def stations(ask: Ask) -> list[Row]:
    return [
        {
            "Station": who(each, "station"),
            "Demanded": kw(each["demand_w"]),
            "Quota": kw(each["quota_w"]),
            "Order": "–",
            "Charged": "–",
            "Deposit": amount(each["deposit_micro"]),
        }
        for each in entries(ask("/quotas/1"), "charging")
    ]


def quotas(ask: Ask) -> list[Row]:
    return [
        {
            "Round": str(each["number"]),
            "State": "takes demands",
            "Capacity": kw(each["capacity_w"]),
            "Demanded": kw(each["demand_w"]),
            "Stations": str(each["stations"]),
            "Price per kWh": amount(each["price_micro_per_kwh"]),
        }
        for each in entries(ask("/quotas"), "rounds")
    ]


def response_orders(ask: Ask) -> list[Row]:
    return [
        {
            "Member": who(each, "member"),
            "Side": SIDES[str(each["side"])],
            "Not traded": kwh(each["energy_milli_wh"]),
            "Price per kWh": amount(each["price_micro_per_kwh"]),
            "Bought": kwh(each["bought_milli_wh"]),
            "Given up": kwh(each["given_up_milli_wh"]),
        }
        for each in entries(ask("/response/rounds/1"), "orders")
    ]


def enrolled(ask: Ask) -> list[Row]:
    return [
        {
            "Member": who(each, "member"),
            "Promised": energies(each["promised_milli_wh"]),
            "Baseline": energies(each["baseline_milli_wh"]),
            "Measured": energies(each["measured_milli_wh"]),
            "Deposit": amount(each["deposit_micro"]),
        }
        for each in entries(ask("/response/events/1"), "enrolled")
    ]


def energies(values: object) -> str:
    return ", ".join(map(kwh, values or ())) or "–"  # type: ignore[call-overload]


def response_rounds(ask: Ask) -> list[Row]:
    return [
        {
            "Round": str(each["number"]),
            "State": "takes orders",
            "Members": str(each["members"]),
        }
        for each in entries(ask("/response/rounds"), "rounds")
    ]


def response_events(ask: Ask) -> list[Row]:
    return [
        {
            "Event": str(each["number"]),
            "Called by": who(each, "caller"),
            "Direction": "use less",
            "Still called for, by interval": energies(each["profile_left_milli_wh"]),
            "Reward (tokens per kWh)": amount(each["price_micro_per_kwh"]),
            "Members": str(each["members"]),
        }
        for each in entries(ask("/response/events"), "events")
    ]


FIGURES: Sequence[tuple[str, int, Callable[[Ask], list[Row]]]] = (
    ("/blocks", 0, blocks),
    ("/transactions", 0, transactions),
    ("/account/C1", 0, history),
    ("/account/C1", 1, unasked),
    ("/market/spot", 0, offers),
    ("/market/spot", 1, trades),
    ("/grid/feeder?source=trades", 0, market_lines),
    ("/dispatch", 0, rounds),
    ("/dispatch/1", 0, hour_prices),
    ("/dispatch/1", 1, hour_powers),
    ("/network", 0, peers),
    ("/governance", 0, proposals),
    ("/governance/1", 0, ballots),
    ("/stakes", 0, stakes),
    ("/stakes/V1", 0, own_stakes),
    ("/auctions/day-ahead", 0, intervals),
    ("/auctions/day-ahead", 1, book),
    ("/auctions/quick", 0, cleared),
    ("/quotas", 0, quotas),
    ("/quotas/1", 0, stations),
    ("/response", 0, response_rounds),
    ("/response", 1, response_events),
    ("/response/round/1", 0, response_orders),
    ("/response/event/1", 0, enrolled),
)
"""Page, which of its tables, and what stands there by the API."""


def read_table(page: Page, place: int, count: int) -> list[Row]:
    """Return a table's rows by the titles of their columns, once as many are there."""
    page.wait_for_function(
        "([place, count]) => document.querySelectorAll('main table')[place]"
        "?.querySelectorAll('tbody tr').length === count",
        arg=[place, count],
    )
    tables = page.evaluate(READ_TABLES)
    assert isinstance(tables, list)
    return list(tables[place])


def compare(page: Page, place: int, wanted: list[Row]) -> None:
    """Hold a table to the rows that are wanted, in the columns that these have."""
    rows = read_table(page, place, len(wanted))
    picked = [{name: row[name] for name in want} for row, want in zip(rows, wanted, strict=True)]
    assert picked == wanted
    if page.evaluate("location.pathname").startswith(WHOLE):
        assert set(page.evaluate(READ_NUMBERS, place)) <= set(wanted[0])


@pytest.mark.parametrize(("address", "place", "expected"), FIGURES)
def test_tables_show_what_the_api_says(
    explorer: Explorer,
    visit: Visit,
    address: str,
    place: int,
    expected: Callable[[Ask], list[Row]],
) -> None:
    compare(visit.go(address), place, expected(explorer.ask))


def test_the_grid_shows_each_hour_of_dispatch(explorer: Explorer, visit: Visit) -> None:
    page = visit.go("/grid/feeder?source=1")
    shown = explorer.ask("/dispatch/rounds/1")
    problem = shown["problem"]
    assert isinstance(problem, dict)
    ratings = {f"{line['from']}-{line['to']}": line for line in problem["lines"]}
    full = 0
    for hour, result in enumerate(entries(shown, "results"), 1):
        page.get_by_label("Hour of the round").fill(str(hour))
        page.get_by_text(f"Hour {hour} of 24").wait_for()
        prices = page.locator("g[data-bus]").evaluate_all(
            "all => Object.fromEntries(all.map(e => [e.dataset.bus, e.dataset.price]))"
        )
        want = result["lambda"]
        assert isinstance(want, dict)
        assert prices == {bus: str(nodal_price(value)) for bus, value in want.items()}
        shares = page.locator("line[data-line]").evaluate_all(
            "all => Object.fromEntries(all.map(e => [e.dataset.line, Number(e.dataset.share)]))"
        )
        flows = result["flow_w"]
        assert isinstance(flows, dict)
        for between, flow in flows.items():
            line = ratings[between]
            share = abs(int(flow)) / line["rating_w"]
            assert shares[line["name"]] == pytest.approx(share, abs=0.0001)
        full += any(share >= 0.995 for share in shares.values())
        told = page.locator(".edge.load-full").count() - 1  # one of them is the legend's
        assert told == sum(share >= 0.995 for share in shares.values())
    assert full > 0


def test_a_block_and_its_transaction_are_shown(explorer: Explorer, visit: Visit) -> None:
    (sent, *_) = entries(explorer.ask("/transactions"), "transactions")
    found = explorer.ask(f"/transactions/{sent['id']}")
    page = visit.go(f"/transaction/{sent['id']}")
    text = page.locator("main").inner_text()
    receipt, transaction = found["receipt"], found["transaction"]
    assert isinstance(receipt, dict) and isinstance(transaction, dict)
    assert f"{receipt['gas_used']:,} / {transaction['gas_limit']:,}" in text
    for call in transaction["calls"]:
        assert f"{call['module']}.{call['method']}" in text
    block = explorer.ask(f"/blocks/{sent['height']}")
    text = visit.go(f"/block/{sent['height']}").locator("main").inner_text()
    header = block["header"]
    assert isinstance(header, dict)
    for figure in (block["id"], header["parent"], header["state_root"], f"{header['gas_used']:,}"):
        assert str(figure) in text


def test_a_proof_shows_what_the_api_says(explorer: Explorer, visit: Visit) -> None:
    page = visit.go("/verify?account=S1")
    page.locator("[data-verdict=yes]").wait_for()
    account = explorer.ask("/accounts/S1")
    text = page.locator("main").inner_text()
    for name in ("money_micro", "money_reserved_micro", "energy_milli_wh", "address"):
        assert str(account[name]) in text, name


def test_a_shadow_report_is_shown_beside_its_proposal(explorer: Explorer, visit: Visit) -> None:
    wanted = ("shadow", "run", "--proposal", "1", "--as", "EDC", "--json")
    outcome = explorer.commands.run(*wanted, timeout_s=120)
    report = json.loads(outcome.out)
    page = visit.go("/governance/1")
    page.get_by_label("Report of the shadow").set_input_files(
        files=[{"name": "r.json", "mimeType": "application/json", "buffer": outcome.out.encode()}]
    )
    page.get_by_text("Bills of members").wait_for()
    text = page.locator("main").inner_text()
    for member in report["members"]:
        assert amount(member["shadow"]["bill_micro"]) in text
    assert f"{report['live']['gas']:,}" in text
