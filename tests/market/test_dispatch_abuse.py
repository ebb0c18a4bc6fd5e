"""What members can try in a dispatch area against each other, and what stops it."""

from __future__ import annotations

from market.dispatch_certificate import Certificate
from market.dispatch_codec import encode_certificate
from market.dispatch_commitments import COMMITMENT_SPACE, commitment_of
from market.dispatch_records import BID_INDEX, BID_SPACE, FALLEN_BACK, UNITS_SPACE
from tests.market.dispatch_world import MILLI, OPTIMUM, DispatchWorld, wire

HOUR_MS = 3_600_000


def bids_held(world: DispatchWorld) -> int:
    """How many bids for single intervals are in the state."""
    world.commit()
    leaves = [key[2:] for key in world.state.values if key.startswith(BID_SPACE)]
    indexed = [key[2:] for key in world.state.values if key.startswith(BID_INDEX)]
    assert sorted(leaves) == sorted(indexed)
    return len(leaves)


def register_all() -> DispatchWorld:
    world = DispatchWorld()
    world.register_all()
    return world


def test_who_copies_a_submission_on_its_way_comes_a_block_late() -> None:
    world = register_all()
    found = world.open()
    data = encode_certificate(Certificate((OPTIMUM,)))
    sent = ("submit", 1, found.problem_hash, data)
    assert world.refusal("board", *sent) == "not_committed"
    world.act("board", "commit", 1, commitment_of(world.ids["board"], 1, data))
    assert world.refusal("board", *sent) == "not_committed", "in the same block it could be copied"
    world.height += 1
    # The copier reads the submission before it is in a block, commits, and puts its own before it.
    world.act("gas", "commit", 1, commitment_of(world.ids["gas"], 1, data))
    assert world.refusal("gas", *sent) == "not_committed"
    before = world.money("board")
    assert world.act("board", *sent) == (True, "")
    assert world.money("board") == before + 2_000_000
    world.height += 1
    assert world.refusal("gas", *sent) == "already_proved"
    assert world.overlay.get(COMMITMENT_SPACE + b"\0\0" + world.ids["board"]) is None


def test_a_commitment_is_to_one_result_of_one_account_and_round() -> None:
    world = register_all()
    first, second = world.open(), world.open()
    data = encode_certificate(Certificate((OPTIMUM,)))
    for other in (
        commitment_of(world.ids["gas"], 1, data),
        commitment_of(world.ids["board"], 2, data),
        commitment_of(world.ids["board"], 1, data + b"\0"),
    ):
        world.act("board", "commit", 1, other)
        world.height += 1
        before = world.money("board")
        refusal = world.refusal("board", "submit", 1, first.problem_hash, data)
        assert (refusal, world.money("board")) == ("other_commitment", before)
    # A round that is closed takes none.
    assert world.submit("board", second, OPTIMUM) == (True, "")
    assert world.refusal("board", "commit", 2, bytes(32)) == "already_proved"
    assert world.refusal("board", "commit", 9, bytes(32)) == "unknown_round"


def test_where_nothing_is_paid_nothing_is_committed_to() -> None:
    world = DispatchWorld(reward="0")
    world.register_all()
    found = world.open()
    data = encode_certificate(Certificate((OPTIMUM,)))
    world.act("board", "commit", 1, bytes(32))
    assert world.overlay.get(COMMITMENT_SPACE + b"\0\0" + world.ids["board"]) is None
    assert world.act("board", "submit", 1, found.problem_hash, data) == (True, "")


def test_demand_that_no_dispatch_serves_lets_rounds_fall_back_visibly() -> None:
    world = DispatchWorld(opens_minutes=120, fallback="uniform")
    world.register_all()
    # More than its line and the plant beside it can bring it, whatever the price.
    world.register("house", "B", "load", (0, 9_000 * MILLI, -1_900, -1_700))
    assert world.refusal("operator", "open", "grid", 0) == "invalid_problem"
    for _ in range(3):
        world.advance(HOUR_MS)
    assert world.told("skip_round") == []
    number = world.told("infeasible")[0][1]
    assert "no dispatch can balance" in world.told("infeasible")[0][3]
    world.advance(11_000)
    assert world.round(number).status == FALLEN_BACK
    assert world.told("fall_back")[0][1] == number
    # Once the operator has taken it out, rounds are proved again.
    world.act("operator", "retire", "grid", "house")
    world.register("house", "B", "load", (0, 9_000 * MILLI, -900, -300))
    assert world.submit("board", world.open()) == (True, "")


def test_no_fallback_has_a_price_beyond_what_the_area_allows() -> None:
    world = DispatchWorld(opens_minutes=120, fallback="uniform", max_price_per_kwh="5")
    world.register("house", "B", "load", (0, 3_000 * MILLI, -1_900, -1_700))
    for _ in range(3):
        world.advance(HOUR_MS)
    world.advance(11_000)
    number = world.told("fall_back")[0][1]
    assert world.prices(number) == [[5 * 10**21] * 2]


def test_a_retired_unit_leaves_no_bids_behind() -> None:
    world = register_all()
    first = world.time_ms // HOUR_MS + 1
    bid = wire([(0, 1, 0, 900)])
    for start in range(first, first + 960, 192):
        world.act("gas", "bid", "grid", "gas", start, bid * 192)
    world.act("wind", "bid", "grid", "wind", first, wire([(0, 1, 0, 900)]))
    assert bids_held(world) == 961
    world.act("gas", "retire", "grid", "gas")
    assert bids_held(world) == 761, "the rest in due time, a batch a block"
    for _ in range(6):
        world.advance(1)
    assert bids_held(world) == 1, "another's stay"
    assert world.register("gas", "B", "generator", (0, 3_000 * MILLI, 0, 1_000)) == 4
    found = world.open(first)
    assert world.problem(found.number).units[-1].bids[0].b == 3_000 * MILLI


def test_bids_for_what_is_past_go_with_the_next_ones() -> None:
    world = register_all()
    for _ in range(5):
        first = world.time_ms // HOUR_MS + 1
        world.act("gas", "bid", "grid", "gas", first, wire([(0, 1, 0, 900)]) * 4)
        world.advance(5 * HOUR_MS)
    assert bids_held(world) == 4


def test_a_member_registers_only_so_many_units_by_itself() -> None:
    world = DispatchWorld(max_units_per_member=2)

    def register(caller: str, unit: str, owner: str = "gas") -> str:
        bids = wire([(0, 1, 0, 10)])
        arguments = ("grid", unit, world.ids[owner], "B", "generator", bids, ())
        refusal = world.refusal(caller, "register", *arguments)
        if not refusal:
            world.act(caller, "register", *arguments)
        return refusal

    assert [register("gas", name) for name in "ab"] == ["", ""]
    assert register("gas", "c") == "too_many_units"
    assert register("gas", "a") == "", "changing one is no new one"
    assert register("operator", "c") == "", "an operator may do more for it"
    world.act("gas", "retire", "grid", "a")
    assert register("gas", "d") == "too_many_units", "it still has two"
    world.act("gas", "retire", "grid", "b")
    assert register("gas", "d") == ""
    # Handed over by an operator, a unit counts for who has it now.
    assert register("operator", "c", "house") == ""
    assert register("gas", "e") == ""
    for unit, owner in (("d", "gas"), ("e", "gas"), ("c", "house")):
        world.act(owner, "retire", "grid", unit)
    world.commit()
    assert not [key for key in world.state.values if key.startswith(UNITS_SPACE)]


def test_no_unit_is_beyond_the_power_that_the_area_allows() -> None:
    world = DispatchWorld(max_power_w=5_000)
    own = world.ids["gas"]
    for low, high in ((0, 5_001), (-5_001, 0)):
        call = ("grid", "x", own, "B", "generator", wire([(0, 1, low, high)]), ())
        assert world.refusal("gas", "register", *call) == "power_too_high"
    world.register("gas", "B", "generator", (0, 1, 0, 5_000))
