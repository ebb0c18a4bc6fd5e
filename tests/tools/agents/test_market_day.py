"""Market days: a short one with real validators, and what is found where something is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.agents.channel import Told
from tools.agents.day_certificates import PlantFigures
from tools.agents.day_report import DayRecord, MemberFigures
from tools.agents.day_template import DayPlan
from tools.agents.market_day import DayResult
from tools.cli import run
from tools.demo_day import check_day

MEMBER = MemberFigures("H1", "truthful", 2_000_000, 500_000, 50_000_000, 52_000_000, 1, 0, 0)
PLANT = PlantFigures("H1", issued=4, least=3, most=5)


def test_a_short_day_ends_with_one_state_and_nothing_lost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plot = tmp_path / "day.svg"
    arguments = ["--members", "9", "--intervals", "2", "--minute-ms", "80", "--exit", "--json"]
    arguments += ["--plot", str(plot)]
    status = run(["market", "day", *arguments])
    day = json.loads(capsys.readouterr().out)
    assert status == 0, day.get("findings", day)
    assert len({validator["state_root"] for validator in day["validators"]}) == 1
    assert len(day["validators"]) == 4
    totals = day["totals"]
    assert totals["money_conserved"]
    assert totals["worse_off"] == 0
    assert totals["saved_micro"] > 0
    assert totals["ecoin_milli_wh"] == totals["injected_milli_wh"] > 0
    assert totals["plants"] == 2
    assert totals["certificates"] == sum(each["certificates"] for each in day["intervals"]) > 0
    assert totals["coins_micro"] == sum(member["coins_micro"] for member in day["members"]) > 0
    assert [each["local_time"] for each in day["intervals"]] == ["11:00", "11:15"]
    for each in day["intervals"]:
        assert each["volume_milli_wh"] > 0
        assert 8_000_000 <= each["price_micro_per_kwh"] <= 28_000_000
        assert 0 < each["efficiency_percent"] <= 100
        assert 0 < each["local_percent"] <= 100
    assert {member["strategy"] for member in day["members"]} == {
        "truthful",
        "zero_intelligence",
        "q_learning",
    }
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_each_thing_that_may_be_wrong_is_found() -> None:
    record = DayRecord("local", {5: "11:00"}, 600)
    figures = record.intervals[5]
    figures.withdrawn_milli_wh, figures.injected_milli_wh = 2_000_000, 500_000
    figures.from_upstream_milli_wh = 1_500_000
    roots = tuple([{"name": f"V{n}", "height": 9, "state_root": "aa"} for n in range(4)])
    plan = DayPlan("uniform", 40, 5, 660, 1, "2026-06-21", over_feeder=False)
    record.hear(Told(8, "certificates", "issue", {"produced_until_ms": 3_600, "count": 4}))
    record.hear(Told(9, "certificates", "coins", {"interval": 5, "members": 1}))
    good = DayResult(
        plan, record, None, (MEMBER,), (PLANT,), roots, {}, 10, 1_000, 1_000, 500_000, 1.0
    )  # fmt: skip
    assert check_day(good) == []
    other = (*roots[:3], {**roots[3], "state_root": "bb"})
    poor = replace(MEMBER, bill_micro=52_000_001)
    assert check_day(replace(good, members=(replace(poor, departure_micro=1),))) == []
    for bad, words in (
        (replace(good, validators=other), "different states"),
        (replace(good, validators=roots[:3]), "different states"),
        (replace(good, money_after_micro=999), "money is not conserved"),
        (replace(good, ecoin_milli_wh=499_999), "energy tokens"),
        (replace(good, members=(poor,)), "H1 pays 0.000001 tokens more"),
        (replace(good, plants=(replace(PLANT, least=5),)), "issued 4 certificates, not 5 to 5"),
        (replace(good, plants=(replace(PLANT, most=3),)), "issued 4 certificates, not 3 to 3"),
        (replace(good, plants=(replace(PLANT, issued=5),)), "not those that were told of"),
        (replace(good, members=(MEMBER, MEMBER)), "coins of 1 members were settled at 11:00"),
        (replace(good, failures={"gate_closed": 2}), "2 transactions failed: gate_closed"),
    ):
        assert words in " ".join(check_day(bad))
    figures.from_upstream_milli_wh += 1
    assert "energy is not conserved at 11:00" in check_day(good)
