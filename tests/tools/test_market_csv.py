"""Tables of the market as CSV: written, read back, and refused line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.keyfile import save_plain_key
from tests.tools.fake_node import FakeNode, fake_node
from tools.cli import run
from tools.errors import ToolError
from tools.market_csv import OFFERS, TRADES, read_table, write_table

NEEDED = ("interval", "energy_kwh", "price_tokens_per_kwh")
OFFER = {
    "id": 4,
    "seller": "be…",
    "seller_name": "P1",
    "interval": 12,
    "bus": "",
    "energy_milli_wh": 1_234_567,
    "price_micro_per_kwh": 9_820_000,
}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeNode]:
    folder = tmp_path / "home" / "keys"
    folder.mkdir(parents=True)
    key = save_plain_key(folder / "me.json", bytes(range(32)), purpose="account")
    with fake_node() as fake:
        fake.admit("me", key.account, key.public_key)
        monkeypatch.setenv("BITENERGY_NODE", fake.url)
        monkeypatch.setenv("BITENERGY_HOME", str(tmp_path / "home"))
        yield fake


def test_what_is_written_has_units_and_exact_decimals_and_reads_back(tmp_path: Path) -> None:
    out = io.StringIO()
    assert write_table(OFFERS, [OFFER, {**OFFER, "id": 5, "seller_name": None}], out) == 2
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert rows[0] == {
        "offer": "4",
        "seller": "P1",
        "interval": "12",
        "bus": "",
        "energy_kwh": "1.234567",
        "price_tokens_per_kwh": "9.82",
    }
    assert rows[1]["seller"] == "be…"
    path = tmp_path / "offers.csv"
    path.write_text(out.getvalue(), encoding="utf-8")
    lines = read_table(path, NEEDED)
    assert [line.number for line in lines] == [2, 3]
    assert list(lines[0].values.values()) == [12, 1_234_567, 9_820_000]


def test_a_file_with_faults_names_each_line_and_what_it_should_hold(tmp_path: Path) -> None:
    path = tmp_path / "offers.csv"
    path.write_text(
        "interval,energy_kwh,price_tokens_per_kwh\n1,2,9\nx,2,9\n1,0.00000001,9\n1,2,-3\n1,2\n"
    )
    with pytest.raises(ToolError) as refused:
        read_table(path, NEEDED)
    text = str(refused.value)
    assert "line 2" not in text
    assert "line 3: interval: 'x' is no whole number" in text
    assert "line 4: energy_kwh" in text
    assert "line 5: price_tokens_per_kwh" in text
    assert "line 6: no price_tokens_per_kwh" in text
    for content, words in (
        ("", "no column interval"),
        ("interval,energy_kwh,price_tokens_per_kwh\n", "no line below"),
        ('interval,energy_kwh,price_tokens_per_kwh\n1,"2', "line 2"),
    ):
        path.write_text(content)
        with pytest.raises(ToolError, match=words):
            read_table(path, NEEDED)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ToolError, match="UTF-8"):
        read_table(path, NEEDED)


def test_export_follows_all_pages(node: FakeNode, tmp_path: Path) -> None:
    def answer(query: dict[str, str]) -> tuple[int, object]:
        following = None if "after" in query else "9-9-9"
        return 200, {"offers": [OFFER], "next": following}

    node.routes["/markets/local/offers"] = answer
    path = tmp_path / "offers.csv"
    assert run(["market", "export", "offers", "--file", str(path)]) == 0
    assert len(path.read_text().splitlines()) == 3
    node.routes["/markets/local/trades"] = lambda _: (200, {"trades": [], "next": None})
    assert run(["market", "export", "trades", "--file", str(path)]) == 0
    assert path.read_text() == ",".join(column.heading for column in TRADES) + "\n"


def test_prices_are_those_of_each_gate_and_bus_to_half_a_micro_token(
    node: FakeNode, tmp_path: Path
) -> None:
    clear = {
        "market": "local",
        "interval": 7,
        "gate": 0,
        "energy_milli_wh": 2_500_000,
        "buyer_price_half_micro_per_kwh": 25_000_001,
        "seller_price_half_micro_per_kwh": None,
    }
    price = {
        "market": "local",
        "interval": 7,
        "gate": 0,
        "bus": "N",
        "price_half_micro_per_kwh": 16,
    }
    common = {"height": 9, "time_ms": 1_767_225_600_500}
    node.routes["/modules/day/events"] = lambda _: (
        200,
        {
            "events": [
                {**common, "event": "clear", "fields": clear},
                {**common, "event": "price", "fields": price},
                {**common, "event": "bought", "fields": {"market": "local"}},
                {**common, "event": "clear", "fields": {**clear, "market": "other"}},
            ],
            "next": None,
        },
    )
    path = tmp_path / "prices.csv"
    arguments = ["market", "export", "prices", "--market", "local", "--file", str(path)]
    assert run(arguments) == 0
    rows = list(csv.DictReader(path.open()))
    assert [row["bus"] for row in rows] == ["", "N"]
    assert rows[0]["cleared_utc"] == "2026-01-01T00:00:00.500Z"
    assert rows[0]["buyer_price_tokens_per_kwh"] == "12.5000005"
    assert rows[0]["seller_price_tokens_per_kwh"] == ""
    assert rows[0]["traded_kwh"] == "2.5"
    assert rows[1]["seller_price_tokens_per_kwh"] == "0.000008"


def test_readings_are_asked_for_with_a_signature_and_as_far_back_as_they_are_kept(
    node: FakeNode, tmp_path: Path
) -> None:
    asked: list[dict[str, str]] = []
    reading = {
        "interval": 1_330,
        "start_ms": 0,
        "injected_milli_wh": 0,
        "withdrawn_milli_wh": 1_500,
        "quality": "measured",
    }

    def answer(query: dict[str, str]) -> tuple[int, object]:
        asked.append(query)
        listed = [reading, {**reading, "quality": "none"}]
        connection = {"latest": 2_000, "start": 100}
        return 200, {"readings": listed, "connection": connection, "next": None}

    address = node.admit("H1", b"h" * 20)
    terms = {"retention_days": 7, "interval_minutes": 15}
    node.routes["/readings"] = lambda _: (200, {"terms": terms, "intervals": []})
    node.routes[f"/readings/{address}"] = answer
    path = tmp_path / "readings.csv"
    arguments = ["market", "export", "readings", "--file", str(path)]
    assert run([*arguments, "--member", "H1"]) == 0
    assert asked[-1]["first"] == str(2_000 - 7 * 96)
    (row,) = csv.DictReader(path.open())
    assert (row["member"], row["withdrawn_kwh"], row["quality"]) == ("H1", "0.0015", "measured")
    assert run(arguments) == 1


def test_import_submits_registers(node: FakeNode, tmp_path: Path) -> None:
    path = tmp_path / "registers.csv"
    path.write_text("interval,injected_register_kwh,withdrawn_register_kwh\n7,1.5,20\n8,1.5,21\n")
    assert run(["market", "import", "readings", str(path)]) == 0
    assert [each.calls[0] for each in node.received] == [
        ("meters", "submit", (7, ((1_500_000, 20_000_000),))),
        ("meters", "submit", (8, ((1_500_000, 21_000_000),))),
    ]


def test_import_places_each_line_and_a_dry_run_none(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "offers.csv"
    path.write_text("energy_kwh,price_tokens_per_kwh,interval\n1.5,9.82,3\n2,10,4\n")
    assert run(["market", "import", "offers", str(path), "--dry-run"]) == 0
    assert node.received == []
    assert run(["market", "import", "offers", str(path)]) == 0
    assert [each.calls for each in node.received] == [
        (("market", "post", ("local", 3, 1_500_000, 9_820_000)),),
        (("market", "post", ("local", 4, 2_000_000, 10_000_000)),),
    ]
    assert [each.nonce for each in node.received] == [3, 4]
    node.failure = "gate_closed"
    capsys.readouterr()
    assert run(["market", "import", "offers", str(path)]) == 1
    assert "line 2: gate_closed" in capsys.readouterr().err
    node.rejection = {"code": "mempool_full", "message": "no room"}
    assert run(["market", "import", "offers", str(path)]) == 1
    shown = capsys.readouterr().err
    assert "line 2: mempool_full" in shown
    assert "1 lines behind it were not sent" in shown
