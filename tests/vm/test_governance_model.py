"""Random proposals and votes, held against a model of governance that is a page long."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger.execution import read_parameters
from tests.ledger.support import Chain, id_of
from tests.vm.test_governance import council
from vm.system.governance_records import APPLIED, STATUS_NAMES, read_proposal

NAMES = ("Op", "Op2", "P1", "P2")
WEIGHT = {"Op": 2, "Op2": 2, "P1": 1, "P2": 1}
PERIOD_MS = 20_000
NOTICE = 3


@dataclass
class Motion:
    """A proposal as the model sees it."""

    price: int
    height: int
    ends_ms: int
    status: str = "voting"
    votes: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    """Governance in few words: what a reader of the docs would compute by hand."""

    motions: list[Motion] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    price: int = 0

    def weight(self, name: str) -> int:
        return 0 if name in self.away else WEIGHT[name]

    def begin_block(self, height: int, time_ms: int) -> None:
        for motion in self.motions:
            if motion.status == "voting" and motion.ends_ms <= time_ms:
                motion.status = self.count(motion, height)

    def count(self, motion: Motion, height: int) -> str:
        sums = {"yes": 0, "no": 0, "abstain": 0}
        for name, choice in motion.votes.items():
            sums[choice] += self.weight(name)
        total = sum(self.weight(name) for name in NAMES)
        if not sum(sums.values()) or sum(sums.values()) * 2 < total:
            return "expired"
        if not sums["yes"] or sums["yes"] * 3 < (sums["yes"] + sums["no"]) * 2:
            return "failed"
        return "passed" if motion.height >= height + NOTICE else "expired"

    def end_block(self, height: int) -> None:
        for motion in self.motions:
            if motion.status == "passed" and motion.height == height + 1:
                motion.status, self.price = "applied", motion.price


CHOICE = st.sampled_from(("yes", "yes", "no", "abstain"))


@st.composite
def plans(draw: st.DrawFn) -> list[tuple]:
    """Draw up to three proposals, each with votes, comings and goings in any order."""
    plan: list[tuple] = []
    for number in range(draw(st.integers(1, 3))):
        ahead = draw(st.one_of(st.integers(0, 30), st.integers(18, 28)))
        plan.append(("propose", draw(st.sampled_from(NAMES)), draw(st.integers(1, 9)), ahead))
        voting = st.tuples(st.just("vote"), st.sampled_from(NAMES), st.just(number), CHOICE)
        leaving = st.tuples(st.sampled_from(("away", "back")), st.sampled_from(NAMES[1:]))
        plan += draw(st.lists(st.one_of(voting, voting, voting, leaving), min_size=1, max_size=7))
        plan.append(("wait", draw(st.integers(0, 12))))
    return plan


@settings(max_examples=25, deadline=None)
@given(plans())
def test_random_votes_end_as_the_model_says(plan: list[tuple]) -> None:
    section = {"voting_period_ms": PERIOD_MS, "notice_blocks": NOTICE}
    chain, model = council(section, parameters={"max_expiry_blocks": 10_000}), Model()
    # What follows the last step brings every vote to its end and every change to its height.
    for step in [*plan, ("wait", 45)]:
        if step[0] == "wait":
            for _ in range(step[1]):
                grow(chain, model, "", ())
        else:
            act(chain, model, step)
    shown = [read_proposal(chain.state, n + 1) for n in range(len(model.motions))]
    assert [STATUS_NAMES[p.status] for p in shown if p] == [m.status for m in model.motions]
    assert read_parameters(chain.state).heartbeat_ms == 60_000 + model.price
    assert sum(p.status == APPLIED for p in shown if p) == sum(
        motion.status == "applied" for motion in model.motions
    )


def act(chain: Chain, model: Model, step: tuple) -> None:
    """Do one step in the chain and in the model; both must agree whether it is allowed."""
    kind, name, *more = step
    height, time_ms = chain.height, chain.parent.header.time_ms + 1_000
    if kind in ("away", "back"):
        method = "suspend" if kind == "away" else "reinstate"
        allowed = (name in model.away) == (kind == "back")
        assert grow(chain, model, "Op", ("members", method, (id_of(name),))) == allowed
        model.away = model.away | {name} if kind == "away" else model.away - {name}
        return
    if name in model.away:
        return
    if kind == "vote":
        number, choice = more
        done = grow(chain, model, name, ("governance", "vote", (number + 1, choice)))
        known = number < len(model.motions)
        # The count runs before the transactions of a block: both look at the same moment.
        assert done == (known and model.motions[number].status == "voting")
        if done:
            model.motions[number].votes[name] = choice
        return
    price, ahead = more
    values = (("heartbeat_ms", 60_000 + price),)
    call = ("governance", "propose_parameters", ("chain", "", values, height + ahead, ""))
    open_now = [m for m in model.motions if m.status == "voting" and m.ends_ms > time_ms]
    done = grow(chain, model, name, call)
    assert done == (ahead >= NOTICE and len(open_now) < 64) or len(open_now) >= 4
    if done:
        model.motions.append(Motion(price, height + ahead, time_ms + PERIOD_MS))


def grow(chain: Chain, model: Model, name: str, call: tuple) -> bool:
    """Grow by a block with one call, or an empty one; tell whether the call succeeded."""
    height, time_ms = chain.height, chain.parent.header.time_ms + 1_000
    transactions = [chain.transaction(name, call, expiry_height=height)] if call else []
    model.begin_block(height, time_ms)
    built = chain.grow(*transactions)
    assert not built.dropped
    model.end_block(height)
    return bool(call) and built.receipts[0].code == ""
