"""The demonstrations of the market day: published figures on four validators."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.support import ROOT, Commands
from tests.e2e.test_demo import assert_agree

DEMOS = ("ev", "response", "auction")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what each demonstration says; they run beside one another, as they mostly wait.

    Each has ports of its own: they choose them at the same moment. The folders are made before the
    threads start: pytest makes theirs with the first one, and two threads that ask at once would
    both make it.
    """
    first, last = map(int, os.environ["BITENERGY_PORTS"].split("-"))
    share = (last - first) // len(DEMOS)
    commands = {
        name: Commands(
            tmp_path_factory.mktemp(name),
            {"BITENERGY_PORTS": f"{first + place * share}-{first + (place + 1) * share - 1}"},
        )
        for place, name in enumerate(DEMOS)
    }

    def run(name: str) -> dict[str, Any]:
        return commands[name].run(name, "demo", "--exit", "--json", timeout_s=150).json

    with ThreadPoolExecutor(len(DEMOS)) as pool:
        return dict(zip(DEMOS, pool.map(run, DEMOS), strict=True))


@pytest.mark.long
def test_the_published_charging_quotas_come_out_on_every_validator(
    answers: dict[str, dict[str, Any]],
) -> None:
    case = json.loads((ROOT / "genesis" / "cases" / "ev_quota.json").read_text())
    answer = answers["ev"]
    assert answer["ok"] is True and answer["money_conserved"] is True
    stations = answer["stations"]
    assert isinstance(stations, list)
    assert [row["station"] for row in stations] == sorted(case["demand_kw"])
    for row in stations:
        name = row["station"]
        balanced = case["balanced_auction_payment_token"]["uniform_midpoint"][name]
        assert Decimal(row["first_quota_kw"]) == Decimal(case["initial_quota_kw"][name])
        assert Decimal(row["service_fee"]) == Decimal(case["service_fee_token"][name])
        assert Decimal(row["payment"]) == Decimal(balanced)
        assert Decimal(row["printed_payment"]) == Decimal(
            case["printed_auction_payment_token"][name]
        )
    assert answer["unbalanced_in_print"] == ["B", "C"]
    assert_agree(answer["validators"])


@pytest.mark.long
def test_demand_response_is_settled_twice_and_rewarded(
    answers: dict[str, dict[str, Any]],
) -> None:
    answer = answers["response"]
    assert answer["ok"] is True and answer["money_conserved"] is True
    # Eight of twelve kWh are local at 31; 1.1 times that is the response price.
    assert (answer["price"], answer["response_price"]) == ("31.00", "34.10")
    assert answer["second"] == [
        ["H1", "sells", 2_000_000, 68_200_000],
        ["H2", "sells", 1_000_000, 34_100_000],
        ["H3", "buys", 1_500_000, 51_150_000],
        ["H4", "buys", 1_500_000, 51_150_000],
    ]
    assert answer["event_rewards_and_penalties"] == {
        "H1": ["40.00", "0.00"],
        "H2": ["5.00", "26.00"],
    }
    assert_agree(answer["validators"])


@pytest.mark.long
def test_a_sealed_auction_is_held_and_a_commitment_forfeited(
    answers: dict[str, dict[str, Any]],
) -> None:
    answer = answers["auction"]
    assert answer["ok"] is True and answer["money_conserved"] is True
    # Ten kWh are wanted at 20 or more, twelve offered: B3 and S3 set the prices and do not trade.
    assert (answer["buyer_price"], answer["seller_price"]) == ("22.00", "20.00")
    assert answer["forfeits"] == ["B4"]
    assert answer["surplus"] == "16.00"
    assert_agree(answer["validators"])
