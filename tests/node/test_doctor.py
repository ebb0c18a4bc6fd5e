"""The doctor names what holds a network up, and only that."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from consensus.interface import EngineView
from consensus.messages import NO_ROUND, Step
from node.doctor import diagnose
from node.facade import Finding, MempoolInfo
from vm.system.validators import Validator

NAMES = ("Anna", "Bert", "Cora", "Dora")
VALIDATORS = [
    (Validator(bytes([place]) * 32, 1, bytes([place]) * 20), name)
    for place, name in enumerate(NAMES)
]
ACCOUNTS = [validator.account for validator, _ in VALIDATORS]
Usage = namedtuple("Usage", "total used free")


def view(**changes: Any) -> EngineView:
    fields: dict[str, Any] = {
        "height": 8,
        "round": 3,
        "step": Step.PREVOTE,
        "proposer_index": 0,
        "own_index": 0,
        "locked_round": NO_ROUND,
        "missing_prevotes": (),
        "missing_precommits": (),
    }
    return EngineView(**(fields | changes))


def examine(**changes: Any) -> dict[str, Finding]:
    facts: dict[str, Any] = {
        "view": view(),
        "validators": VALIDATORS,
        "connected": set(ACCOUNTS[1:]),
        "is_voted": True,
        "own_account": ACCOUNTS[0],
        "height": 7,
        "best_height": 7,
        "lowest_held": 0,
        "head_age_ms": 1_000,
        "heartbeat_ms": 60_000,
        "mempool": MempoolInfo(0, 0, 1_000),
        "data": Path("/"),
    }
    findings = diagnose(**(facts | changes))
    order = [("problem", "warning", "ok").index(item.severity) for item in findings]
    assert order == sorted(order)
    return {item.topic: item for item in findings}


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(10**12, 0, 10**12)
    monkeypatch.setattr("node.doctor.shutil.disk_usage", lambda _: usage)


def test_a_healthy_network_has_no_complaint() -> None:
    assert {item.severity for item in examine().values()} == {"ok"}


def test_validators_away_are_named() -> None:
    found = examine(connected={ACCOUNTS[1], ACCOUNTS[2]})["quorum"]
    assert found.severity == "warning"
    assert "Dora" in found.message
    assert "Cora" not in found.message
    found = examine(connected={ACCOUNTS[1]})["quorum"]
    assert found.severity == "problem"
    assert "2 of 4" in found.message
    assert "Cora, Dora" in found.message


def test_exactly_two_thirds_are_no_quorum() -> None:
    three = VALIDATORS[:3]
    found = examine(validators=three, connected={ACCOUNTS[1]})["quorum"]
    assert found.severity == "problem"
    assert "Cora" in found.message


def test_a_follower_needs_no_quorum_but_somebody_to_follow() -> None:
    one = examine(own_account=None, connected={ACCOUNTS[1]})["quorum"]
    assert (one.severity, one.message) == ("ok", "This node follows 1 of 4 validators.")
    assert examine(own_account=None, connected=set())["quorum"].severity == "problem"


def test_work_that_waits_is_a_problem_and_names_who_is_silent() -> None:
    waiting = MempoolInfo(5, 10, 1_000)
    late = examine(
        mempool=waiting, head_age_ms=11_000, view=view(missing_prevotes=(2, 3), round=3)
    )["progress"]
    assert late.severity == "problem"
    assert "Cora, Dora" in late.message
    assert "round 3" in late.message
    assert examine(mempool=waiting, head_age_ms=9_000)["progress"].severity == "ok"
    assert examine(head_age_ms=119_000)["progress"].severity == "ok"
    assert examine(head_age_ms=121_000)["progress"].severity == "problem"


def test_being_behind_is_said() -> None:
    assert examine(best_height=8)["sync"].severity == "ok"  # the next one, under way
    assert "1000" in examine(best_height=1_000)["sync"].message


def test_a_clock_that_is_off_is_said() -> None:
    assert examine(head_age_ms=-900)["clock"].severity == "ok"
    found = examine(head_age_ms=-90_000)["clock"]
    assert found.severity == "problem"
    assert "90 s" in found.message


def test_what_is_full_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(mempool=MempoolInfo(9, 950, 1_000))["mempool"].severity == "warning"
    assert "mempool" not in examine(mempool=MempoolInfo(9, 900, 1_000))
    monkeypatch.setattr("node.doctor.shutil.disk_usage", lambda _: Usage(10**12, 0, 10**8))
    found = examine()["disk"]
    assert found.severity == "problem"
    assert "100 MB" in found.message
