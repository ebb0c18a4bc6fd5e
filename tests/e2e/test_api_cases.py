"""The API's description against a live node: every answer fits it, whatever is asked."""

from __future__ import annotations

from tests.e2e.api_cases import live_node, send_cases
from tests.e2e.support import Commands

CASES = 300


def test_generated_requests_get_documented_answers(commands: Commands) -> None:
    with live_node(commands) as url:
        findings = send_cases(url, cases=CASES)
    assert findings.cases == CASES
    assert list(findings.faults.values()) == []
    assert {200, 400, 404} <= set(findings.statuses)
    # Far from all that was asked was refused at the door.
    assert findings.statuses[200] > CASES // 10
    assert len(findings.operations) > 30
