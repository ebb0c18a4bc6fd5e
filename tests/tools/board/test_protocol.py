"""Boards reach the optimum together, whatever is lost, repeated, silent or a lie."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.tree_bus import solve_exactly, views_of
from market.dispatch_certificate import Certificate
from market.dispatch_problem import DispatchProblem, single_interval
from tests.tools.board.links import Lie, Links
from tools.board.messages import ACK, AUDIT, CURVES, PRICES, REPORT, RESULT, Message
from tools.cases.catalog import load_sound_case
from tools.cases.fields import parse_json
from tools.cases.graphs import random_links
from tools.cases.published import read_luo
from vm.primitives.codec import encode_integer

HOUR = 14


@pytest.fixture(scope="module")
def day() -> DispatchProblem:
    return load_sound_case("ieee13_gao", "congested").problem


@pytest.fixture(scope="module")
def hour(day: DispatchProblem) -> DispatchProblem:
    return single_interval(day, HOUR)


@pytest.fixture(scope="module")
def truth(hour: DispatchProblem) -> Certificate:
    return solve_exactly(hour)


def cheat(kind: int) -> Lie:
    """A board that tells nothing but lies in messages of one kind."""

    def lie(message: Message) -> Message:
        if message.kind != kind:
            return message
        body = message.body
        assert isinstance(body, tuple)
        if kind == CURVES:
            curve = tuple(
                (price, encode_integer(10**12 + n)) for n, (price, _) in enumerate(body[0])
            )
            return replace(message, body=(curve, *body[1:]))
        if kind == PRICES:
            price, flow = body[0]
            return replace(message, body=((price + b"\0", flow), *body[1:]))
        prices, powers = body
        wrong = tuple((unit, (watts[0] + 7, *watts[1:])) for unit, watts in powers)
        return replace(message, body=(prices, wrong))

    return lie


def parent_of(problem: DispatchProblem, bus: str) -> str:
    parent = views_of(problem)[bus].parent
    assert parent is not None
    return parent


def test_boards_find_the_day_together(day: DispatchProblem) -> None:
    links = Links(day)
    assert links.run(4_000) == solve_exactly(day)
    assert links.submitters() == ["650"]
    board = links.boards["650"]
    # Down to the farthest leaf and back: twice the depth of the feeder.
    assert (board.result_hops, board.alone, board.substituted) == (8, False, set())
    links.run(links.now_ms + 1)
    for _ in range(200):
        links.run(links.now_ms + 20)
    assert {board.result for board in links.boards.values()} == {board.result}, "all have it"


def test_luo_takes_16_rounds_on_a_ring() -> None:
    case = load_sound_case("luo16")
    links = Links(case.problem)
    found = links.run(10_000)
    assert found == solve_exactly(case.problem)
    root = links.boards[case.problem.network.slack]
    assert root.result_hops == 16
    powers = {
        unit.name: power
        for unit, power in zip(case.problem.units, found.intervals[0].powers_w, strict=True)
    }
    assert (powers["DG1"], powers["L2"], powers["L4"]) == (106_600, -58_920, 0)


@pytest.mark.parametrize("seed", range(12))
def test_luo_takes_at_most_8_rounds_on_a_random_graph(seed: int) -> None:
    """Of 32 links between the 16 agents, boards speak along those of the shallowest tree."""
    text = files("genesis").joinpath("cases", "luo16.json").read_text(encoding="utf-8")
    document = parse_json(text, "luo16")
    names = [unit.name for unit in load_sound_case("luo16").problem.units]
    drawn = random_links(names, 32, seed)
    case = read_luo(document, "normal", drawn)
    links = Links(case.problem, loss=0.05, seed=seed)
    found = links.run(10_000)
    assert links.boards[case.problem.network.slack].result_hops <= 8
    assert found == solve_exactly(case.problem)
    ring = solve_exactly(load_sound_case("luo16").problem)
    assert found.intervals[0].powers_w == ring.intervals[0].powers_w
    used = {frozenset((sender, receiver)) for sender, receiver, _ in links.sent}
    assert used <= {frozenset(pair) for pair in drawn}


def test_messages_run_along_the_feeder_only(hour: DispatchProblem) -> None:
    links = Links(hour, loss=0.2, repeat=0.2)
    links.run(10_000)
    edges = {frozenset((line.from_bus, line.to_bus)) for line in hour.network.lines}
    assert {frozenset((sender, receiver)) for sender, receiver, _ in links.sent} == edges


@pytest.mark.parametrize("seed", range(8))
def test_a_fifth_of_all_messages_may_be_lost(
    hour: DispatchProblem, truth: Certificate, seed: int
) -> None:
    links = Links(hour, loss=0.2, repeat=0.1, seed=seed)
    assert links.run(11_000) == truth
    assert not any(board.alone for board in links.boards.values())


@pytest.mark.parametrize("bus", ["650", "632", "671", "680", "684", "645"])
@pytest.mark.parametrize("after_ms", [0, 150, 500, 900])
def test_a_board_may_stop_at_any_time(
    hour: DispatchProblem, truth: Certificate, bus: str, after_ms: int
) -> None:
    links = Links(hour, stops={bus: after_ms}, loss=0.05)
    assert links.run(25_000) == truth
    assert links.submitters()


@pytest.mark.parametrize("kind", [CURVES, PRICES, REPORT])
@pytest.mark.parametrize("bus", ["632", "671", "684", "645", "633"])
def test_a_liar_delays_and_never_corrupts(
    hour: DispatchProblem, truth: Certificate, bus: str, kind: int
) -> None:
    links = Links(hour, lies={bus: cheat(kind)}, loss=0.05)
    assert links.run(25_000) == truth
    if kind != PRICES:  # of those the children notice, and the liar has to do their part itself
        assert bus in links.boards[parent_of(hour, bus)].distrusted


def test_loss_a_stopped_board_and_a_liar_together(
    hour: DispatchProblem, truth: Certificate
) -> None:
    links = Links(
        hour, loss=0.2, repeat=0.1, seed=5, stops={"692": 300}, lies={"645": cheat(CURVES)}
    )
    assert links.run(25_000) == truth


def test_a_lying_slack_bus_is_passed_over(hour: DispatchProblem, truth: Certificate) -> None:
    links = Links(hour, lies={"650": cheat(PRICES)})
    assert links.run(25_000) == truth
    assert "650" not in links.submitters()


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.floats(0, 0.3),
    st.sampled_from(["650", "632", "671", "684", "692", "646"]),
    st.integers(0, 2_000),
    st.sampled_from([CURVES, PRICES, REPORT]),
    st.sampled_from(["632", "671", "684", "645"]),
)
def test_the_result_is_the_optimum_or_none(
    hour: DispatchProblem,
    truth: Certificate,
    seed: int,
    loss: float,
    stopped: str,
    after_ms: int,
    kind: int,
    liar: str,
) -> None:
    links = Links(
        hour,
        seed=seed,
        loss=loss,
        repeat=0.1,
        stops={stopped: after_ms},
        lies={liar: cheat(kind)},
    )
    assert links.run(30_000) == truth


def test_strangers_old_rounds_and_surplus_change_nothing(
    hour: DispatchProblem, truth: Certificate
) -> None:
    links = Links(hour)
    board = links.boards["671"]
    for neighbour, message in (
        ("645", Message(CURVES, 1, 0, 1, ())),
        ("nobody", Message(RESULT, 1, 0, 1, b"")),
        ("632", Message(CURVES, 1, 0, 1, ())),
        ("680", Message(PRICES, 1, 0, 1, ())),
        ("680", Message(AUDIT, 1, 3, 0, None)),
        ("680", Message(CURVES, 2, 0, 1, ())),
        ("680", Message(CURVES, 1, 9, 1, ())),
        ("632", Message(ACK, 1, 0, 0, 99)),
    ):
        board.receive(neighbour, message, 0)
    board.take_outgoing()
    assert links.run(4_000) == truth
