"""Boards of a meshed network step together to the optimum, whatever is lost, silent or a lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

import tools.board.mesh_protocol
from dispatch.mesh_bus import MAX_TOLD
from dispatch.solve import solve
from market.dispatch_check import verify_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import DispatchProblem
from tests.dispatch.test_mesh_storage import day_of
from tests.dispatch.test_meshed import case_of
from tests.tools.board.links import Lie, Links
from tools.board.messages import PART, STEP, Message
from tools.board.participant import Patience
from vm.primitives.codec import Value, encode_integer

QUICK = Patience(resend_ms=100, stall_ms=2_000)


@cache
def truth(name: str) -> tuple[tuple[int, ...], ...]:
    return tuple(one.powers_w for one in solve(case_of(name)).certificate.intervals)


def assert_optimal(problem: DispatchProblem, links: Links, until_ms: int) -> str:
    """Run until a board may submit; return its name, if what it has is proved."""
    found = links.run(until_ms)
    assert found is not None, "no board has a result"
    assert verify_certificate(lay_out(problem), found)
    return links.submitters()[0]


@pytest.mark.parametrize(("name", "most_rounds"), [("case5", 260), ("case9", 40), ("case30", 210)])
def test_boards_of_a_mesh_find_the_optimum_together(name: str, most_rounds: int) -> None:
    problem = case_of(name)
    links = Links(problem, delay_ms=20)
    assert assert_optimal(problem, links, 30_000) == problem.network.slack
    board = links.boards[problem.network.slack]
    assert not board.alone and board.result_hops <= most_rounds
    assert board.result is not None
    for watts, wanted in zip(board.result.intervals, truth(name), strict=True):
        assert watts.powers_w == pytest.approx(wanted, abs=2)
    edges = {frozenset((line.from_bus, line.to_bus)) for line in problem.network.lines}
    assert {frozenset((sender, receiver)) for sender, receiver, _ in links.sent} == edges
    for _ in range(50):
        links.run(links.now_ms + 20)
    assert {each.result for each in links.boards.values()} == {board.result}, "all have it"


def test_hours_step_together() -> None:
    problem = case_of("case9")
    units = tuple(
        replace(
            unit,
            bids=tuple(
                replace(unit.bids[0], lo_w=lo, hi_w=lo) if unit.kind == "load" else unit.bids[0]
                for lo in (unit.bids[0].lo_w, unit.bids[0].lo_w * 9 // 10)
            ),
        )
        for unit in problem.units
    )
    problem = replace(problem, units=units, intervals=2)
    links = Links(problem, delay_ms=20)
    assert_optimal(problem, links, 10_000)
    assert not links.boards[problem.network.slack].alone


@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_all_messages_may_be_lost(seed: int) -> None:
    """To the bit: what comes late or twice changes no step."""
    problem = case_of("case9")
    calm = Links(problem, delay_ms=20)
    links = Links(problem, loss=0.2, repeat=0.1, seed=seed)
    assert links.run(40_000) == calm.run(10_000)
    assert not any(board.alone for board in links.boards.values())


@pytest.mark.parametrize("bus", ["0", "4", "8"])
@pytest.mark.parametrize("after_ms", [0, 700, 4_000])
def test_a_board_may_stop_at_any_time(bus: str, after_ms: int) -> None:
    problem = case_of("case9")
    links = Links(problem, stops={bus: after_ms}, loss=0.2, patience=QUICK)
    assert_optimal(problem, links, 60_000)


def cheat(kind: int, told: int = 10**17) -> Lie:
    """A board that lies in messages of one kind; in steps it tells so many nanowatts."""

    def lie(message: Message) -> Message:
        if message.kind != kind or not isinstance(message.body, tuple):
            return message
        first, second = message.body
        if kind == STEP:
            assert isinstance(second, tuple)
            wrong: Value = tuple(
                tuple((encode_integer(told), encode_integer(-told)) for _ in line)
                for line in second
                if isinstance(line, tuple)
            )
            return replace(message, body=(first, wrong))
        assert isinstance(first, tuple)
        flows = tuple((line, (10**11,)) for line, _ in first)  # type: ignore[misc, str-unpack]
        return replace(message, body=(flows, second))

    return lie


@pytest.mark.parametrize("kind", [STEP, PART])
@pytest.mark.parametrize("bus", ["0", "3", "8"])
def test_a_liar_delays_and_never_corrupts(bus: str, kind: int) -> None:
    problem = case_of("case9")
    patience = replace(QUICK, together_ms=8_000, alone_ms=3_000)
    links = Links(problem, lies={bus: cheat(kind)}, patience=patience, delay_ms=20)
    assert assert_optimal(problem, links, 60_000) != bus


def test_the_greatest_lie_makes_no_honest_board_say_what_is_refused() -> None:
    problem = case_of("case9")
    patience = replace(QUICK, together_ms=4_000, alone_ms=3_000)
    links = Links(problem, lies={"8": cheat(STEP, MAX_TOLD)}, patience=patience, delay_ms=20)
    assert_optimal(problem, links, 60_000)
    assert not links.refused


def test_after_the_last_step_no_board_but_the_slack_one_computes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tools.board.mesh_protocol, "MAX_STEPS", 6)
    problem = case_of("case9")
    links = Links(problem, delay_ms=20)
    assert assert_optimal(problem, links, 30_000) == problem.network.slack
    for _ in range(20):
        links.run(links.now_ms + 20)
    others = [board for bus, board in links.boards.items() if bus != problem.network.slack]
    assert not any(board.alone for board in others)
    assert all(board.result for board in links.boards.values())


def test_loss_a_stopped_board_and_a_liar_together() -> None:
    problem = case_of("case5")
    links = Links(
        problem,
        loss=0.2,
        repeat=0.1,
        stops={"2": 900},
        lies={"4": cheat(STEP)},
        patience=replace(QUICK, together_ms=8_000),
    )
    assert_optimal(problem, links, 60_000)


def test_a_step_of_no_right_form_is_refused() -> None:
    problem = case_of("case9")

    def short(message: Message) -> Message:
        return replace(message, body=(b"", ())) if message.kind == STEP else message

    links = Links(problem, lies={"8": short}, patience=QUICK, delay_ms=20)
    assert_optimal(problem, links, 30_000)
    assert set(links.refused) == {"8"}


@pytest.mark.parametrize("stopped", [False, True])
def test_storages_in_a_mesh_are_computed_at_once_at_the_slack_bus(stopped: bool) -> None:
    problem = day_of("case9", 2, 3)
    slack = problem.network.slack
    links = Links(problem, loss=0.1, stops={slack: 0} if stopped else {})
    assert (assert_optimal(problem, links, 30_000) == slack) is not stopped
    for _ in range(100):
        links.run(links.now_ms + 20)
    standing = [board for bus, board in links.boards.items() if bus != slack or not stopped]
    assert all(board.result for board in standing), "it is passed on, or each computes it"
    assert not any(message.kind == STEP for _, _, message in links.sent)


def test_storages_in_a_mesh_that_cannot_serve_it_make_the_round_fall_back() -> None:
    problem = day_of("case9", 2, 3)
    lines = tuple(replace(line, rating_w=10_000) for line in problem.network.lines)
    links = Links(replace(problem, network=replace(problem.network, lines=lines)))
    assert links.run(20_000) is None
