"""Proof of work by the block: which branch is preferred, what is final, what is not looked at."""

from __future__ import annotations

from dataclasses import replace

from consensus import interface as api
from consensus.messages import Validator
from consensus.pow import MAX_REFUSED, PowEngine
from consensus.validator_set import ValidatorSet
from consensus.work import WorkRules, counted_interval_ms, next_difficulty

RULES = WorkRules(
    target_interval_ms=1_000, finality_depth=3, initial_difficulty=1_600, min_difficulty=16
)
CONFIG = api.EngineConfig(max_drift_ms=2_000, resend_ms=500)
ROOT = b"root"
NOW = 100_000
LATER = NOW + 50_000


class Chain:
    """An engine, and blocks by name that have the work they need."""

    def __init__(self, own_id: bytes | None = None) -> None:
        self.engine = PowEngine(CONFIG, own_id, RULES)
        self.validators = ValidatorSet([Validator(b"v0", 1), Validator(b"v1", 1)])
        self.blocks = {ROOT: api.BlockArrived(ROOT, b"", 0, NOW, 0)}
        self.final = ROOT
        self.outputs = self.engine.handle(self.started(1, ROOT))

    def started(self, height: int, block_id: bytes) -> api.Started:
        block = self.blocks[block_id]
        parent = self.blocks.get(block.parent, block)
        interval = block.time_ms - parent.time_ms
        now = NOW if height == 1 else LATER
        return api.Started(
            height, self.validators, block_id, block.time_ms, now, None, block.work, interval
        )

    def needed(self, parent: api.BlockArrived) -> int:
        before = self.blocks.get(parent.parent, parent)
        interval = counted_interval_ms(RULES, parent.height, parent.time_ms, before.time_ms)
        return next_difficulty(RULES, parent.work, interval)

    def block(self, name: str, on: str = "root", after_ms: int = 1_000) -> api.BlockArrived:
        """Return a new block with the work it needs."""
        parent = self.blocks[on.encode()]
        found = api.BlockArrived(
            name.encode(),
            parent.block_id,
            parent.height + 1,
            parent.time_ms + after_ms,
            LATER,
            self.needed(parent),
        )
        self.blocks[found.block_id] = found
        return found

    def give(self, block: api.BlockArrived) -> list[api.Output]:
        return self.engine.handle(block)

    def check(self, *names: str, valid: bool = True) -> list[api.Output]:
        outputs: list[api.Output] = []
        for name in names:
            outputs += self.engine.handle(api.BlockChecked(name.encode(), valid))
        return outputs

    def grow(self, *names: str, on: str = "root") -> list[api.Output]:
        """Add blocks one on the other, each found valid."""
        outputs: list[api.Output] = []
        for name in names:
            outputs += self.give(self.block(name, on))
            outputs += self.check(name)
            on = name
        return outputs

    @property
    def tip(self) -> str:
        return self.engine.work_view().tip.decode()


def of(kind: type, outputs: list[api.Output]) -> list[api.Output]:
    return [each for each in outputs if isinstance(each, kind)]


def test_a_block_is_checked_then_adopted_and_shared() -> None:
    chain = Chain()
    assert chain.give(chain.block("a")) == [api.CheckBlock(b"a")]
    assert chain.check("a") == [api.AdoptBranch(ROOT, (b"a",)), api.ShareBlock(b"a")]
    assert chain.give(chain.blocks[b"a"]) == []


def test_of_two_equal_branches_the_first_seen_is_kept() -> None:
    chain = Chain()
    chain.grow("a")
    assert chain.give(chain.block("b")) == []
    assert chain.tip == "a"
    assert chain.give(chain.block("b2", "b")) == [api.CheckBlock(b"b")]
    outputs = chain.check("b", "b2")
    assert chain.tip == "b2"
    assert of(api.AdoptBranch, outputs) == [api.AdoptBranch(ROOT, (b"b", b"b2"))]


def test_of_two_equal_branches_only_the_first_seen_is_checked() -> None:
    chain = Chain()
    assert chain.give(chain.block("a")) == [api.CheckBlock(b"a")]
    assert chain.give(chain.block("b")) == []
    chain.check("a")
    assert chain.tip == "a"
    # The second gets its turn if the first turns out to be invalid.
    chain = Chain()
    chain.give(chain.block("a"))
    chain.give(chain.block("b"))
    assert chain.check("a", valid=False) == [api.CheckBlock(b"b")]


def test_the_heavier_branch_counts_not_the_longer() -> None:
    chain = Chain()
    # Each block on "a" came late, so that their difficulty falls; those on "b" came early.
    for name, on in (("a1", "root"), ("a2", "a1"), ("a3", "a2")):
        chain.give(chain.block(name, on, after_ms=9_000))
        chain.check(name)
    for name, on in (("b1", "root"), ("b2", "b1"), ("b3", "b2")):
        chain.give(chain.block(name, on, after_ms=1))
        chain.check(name)
    chain.check("b1", "b2", "b3")
    work = {
        name: sum(chain.blocks[f"{name}{at}".encode()].work for at in (1, 2, 3)) for name in "ab"
    }
    assert work["b"] > work["a"] and chain.tip == "b3"


def test_a_wrong_difficulty_or_a_wrong_place_is_never_checked() -> None:
    chain = Chain()
    good = chain.block("a")
    wrong = [
        replace(good, block_id=b"1", work=good.work - 1),
        replace(good, block_id=b"2", work=good.work + 1),
        replace(good, block_id=b"3", work=0),
        replace(good, block_id=b"4", time_ms=NOW),
        replace(good, block_id=b"5", height=2),
        replace(good, block_id=b"6", height=0),
    ]
    for block in wrong:
        assert chain.give(block) == []
    # What stands on a refused block is refused too, and nobody asks for its parent.
    assert chain.give(api.BlockArrived(b"7", b"1", 2, NOW + 5_000, NOW, 1_600)) == []
    assert chain.give(good) == [api.CheckBlock(b"a")]


def test_missing_parents_are_fetched_once_and_again() -> None:
    chain = Chain()
    first, second, third = chain.block("a"), chain.block("b", "a"), chain.block("c", "b")
    assert chain.give(third) == [api.FetchBlock(b"b", ())]
    assert chain.give(second) == [api.FetchBlock(b"a", ())]
    again = chain.engine.handle(api.TimeoutFired(1, 0, api.Timer.RESEND))
    assert of(api.FetchBlock, again) == [api.FetchBlock(b"a", ())]
    assert chain.give(first) == [api.CheckBlock(b"a")]
    assert of(api.CheckBlock, chain.check("a")) == [api.CheckBlock(b"b")]
    chain.check("b", "c")
    assert chain.tip == "c"


def test_an_invalid_block_takes_its_descendants_with_it() -> None:
    chain = Chain()
    chain.grow("a")
    for name, on in (("b", "root"), ("b2", "b"), ("b3", "b2")):
        chain.give(chain.block(name, on))
    assert chain.check("b", valid=False) == []
    assert chain.engine.work_view().undecided == 1
    assert chain.give(chain.block("b4", "b3")) == []
    assert chain.give(chain.blocks[b"b"]) == []
    assert chain.tip == "a"


def test_what_is_deep_enough_is_final_and_its_rivals_go() -> None:
    chain = Chain()
    chain.grow("a1", "a2")
    chain.give(chain.block("b1"))
    outputs = chain.grow("a3", on="a2")
    assert of(api.Finalised, outputs) == []
    outputs = chain.grow("a4", on="a3")
    assert outputs[-1] == api.Finalised(1, b"a1", None)
    chain.engine.handle(chain.started(2, b"a1"))
    assert chain.engine.work_view().undecided == 3
    # A branch from below the final block is refused, however heavy it would be.
    for name, on in (("b2", "b1"), ("b3", "b2"), ("b4", "b3"), ("b5", "b4"), ("b6", "b5")):
        chain.block(name, on)
    for name in ("b6", "b5", "b4", "b3"):
        chain.give(chain.blocks[name.encode()])
    assert of(api.FetchBlock, chain.give(chain.blocks[b"b2"])) == []
    view = chain.engine.work_view()
    assert (view.deep_forks, chain.tip) == (1, "a4")
    assert of(api.FetchBlock, chain.engine.handle(api.TimeoutFired(2, 0, api.Timer.RESEND))) == []


def test_a_block_from_the_future_waits_for_the_clock() -> None:
    chain = Chain()
    block = replace(chain.block("a", after_ms=10_000), local_time_ms=NOW)
    assert chain.give(block) == []
    assert chain.engine.handle(api.WorkAvailable(NOW + 7_999)) == []
    assert chain.engine.handle(api.WorkAvailable(NOW + 8_000)) == [api.CheckBlock(b"a")]


def test_a_miner_builds_on_the_tip_and_seals_with_the_work_needed() -> None:
    chain = Chain(own_id=b"v0")
    (build,) = of(api.BuildBlock, chain.outputs)
    assert (build.height, build.round) == (1, 1)
    built = api.BlockBuilt(1, 1, b"unsealed", NOW + 10)
    assert chain.engine.handle(built) == [api.SealBlock(b"unsealed", 1_600)]
    outputs = chain.engine.handle(api.BlockSealed(b"unsealed", b"mine", 1_600))
    assert outputs[:2] == [api.AdoptBranch(ROOT, (b"mine",)), api.ShareBlock(b"mine")]
    assert of(api.BuildBlock, outputs) == [api.BuildBlock(2, 2)]
    # Somebody else's branch is adopted: what was built before is of no use any more.
    chain.engine.handle(api.BlockBuilt(2, 2, b"stale", NOW + 20))
    chain.grow("a", "b")
    chain.check("a", "b")
    assert chain.tip == "b"
    before = chain.engine.work_view()
    assert chain.engine.handle(api.BlockSealed(b"stale", b"late", 1_600)) == []
    assert chain.engine.work_view() == before


def test_a_miner_refreshes_its_block_while_it_searches() -> None:
    chain = Chain(own_id=b"v0")
    (timer,) = [each for each in of(api.ScheduleTimeout, chain.outputs) if each.timer == 4]
    assert timer.delay_ms == 500
    outputs = chain.engine.handle(api.TimeoutFired(timer.height, timer.round, timer.timer))
    assert of(api.BuildBlock, outputs) == [api.BuildBlock(1, 2)]
    assert chain.engine.handle(api.TimeoutFired(timer.height, timer.round, timer.timer)) == []
    assert chain.engine.handle(api.BlockBuilt(1, 1, b"old", NOW + 1)) == []


def test_who_has_no_role_or_no_id_does_not_mine() -> None:
    assert of(api.BuildBlock, Chain().outputs) == []
    assert of(api.BuildBlock, Chain(own_id=b"stranger").outputs) == []


def test_after_a_commit_what_was_under_way_is_asked_for_again() -> None:
    chain = Chain(own_id=b"v0")
    chain.grow("a1", "a2", "a3", "a4")
    assert chain.give(chain.block("a5", "a4")) == [api.CheckBlock(b"a5")]
    outputs = chain.engine.handle(chain.started(2, b"a1"))
    assert of(api.CheckBlock, outputs) == [api.CheckBlock(b"a5")]
    assert len(of(api.BuildBlock, outputs)) == 1


def test_nothing_becomes_final_beside_a_heavier_branch_that_waits_for_the_clock() -> None:
    chain = Chain()
    chain.grow("a1", "a2", "a3")
    others = [chain.block("b1", after_ms=40_000)]
    for number in range(2, 7):
        others.append(chain.block(f"b{number}", f"b{number - 1}"))
    for block in others:
        assert chain.give(replace(block, local_time_ms=NOW)) == []
    outputs = chain.give(replace(chain.block("a4", "a3"), local_time_ms=NOW + 4_000))
    outputs += chain.check("a4")
    assert chain.tip == "a4" and of(api.Finalised, outputs) == []
    # Its own clock was behind: once it is there, it follows the others.
    outputs = chain.engine.handle(api.WorkAvailable(LATER))
    assert of(api.CheckBlock, outputs) == [api.CheckBlock(b"b1")]
    outputs = chain.check("b1", "b2", "b3", "b4", "b5", "b6")
    assert chain.tip == "b6" and of(api.Finalised, outputs) == [api.Finalised(1, b"b1", None)]


def test_a_block_that_waits_on_our_own_branch_keeps_nothing_from_being_final() -> None:
    chain = Chain()
    chain.grow("a1", "a2", "a3")
    chain.give(replace(chain.block("a4", "a3"), local_time_ms=NOW + 4_000))
    chain.give(replace(chain.block("a5", "a4", after_ms=90_000), local_time_ms=NOW + 4_000))
    assert of(api.Finalised, chain.check("a4")) == [api.Finalised(1, b"a1", None)]


def test_memory_is_bounded() -> None:
    chain = Chain()
    chain.grow("a")
    for number in range(2_000):
        junk = replace(chain.block("x"), block_id=b"junk%d" % number)
        chain.give(junk)
        chain.give(
            replace(junk, block_id=b"orphan%d" % number, parent=b"none%d" % number, height=9)
        )
        chain.give(replace(junk, block_id=b"wrong%d" % number, work=1))
        chain.give(replace(junk, block_id=b"early%d" % number, time_ms=10**9))
    engine = chain.engine
    assert engine.work_view().undecided < 300
    assert len(engine._orphans) <= 70
    assert len(engine._refused) <= MAX_REFUSED
    assert chain.tip == "a"
