"""A voting board: members vote on payments of its treasury and on changes of the board itself.

A proposal passes if enough of all weight voted and enough of that was in favour. It is carried out
by anybody once it passed and the time to leave is over, and only once.
"""

import bank
import block

PAY = 1
WEIGHT = 2
RULES = 3
MAX_WEIGHT = 10**6
MAX_MS = 10**11

Rules = record(quorum_percent=int, majority_percent=int, voting_ms=int, timelock_ms=int)
Proposal = record(
    proposer=address, kind=int, member=address, amount=int, rules=Rules, about=str, ends_ms=int,
    yes=int, no=int, is_done=bool
)

rules: Rules
weights: map[address, int]
total_weight: int
last_proposal: int
proposals: map[int, Proposal]
votes: map[tuple[int, address], bool]

Proposed = event(number=int, proposer=address, kind=int, about=str, ends_ms=int)
Voted = event(number=int, member=address, in_favour=bool, weight=int)
Executed = event(number=int, kind=int)


@init
def start(quorum_percent: int, majority_percent: int, voting_ms: int, timelock_ms: int):
    self.rules = checked(Rules(quorum_percent, majority_percent, voting_ms, timelock_ms))
    set_weight(caller(), 1)


@export
def fund(amount_micro: int):
    bank.collect(amount_micro)


@export
def propose_payment(to: address, amount_micro: int, about: str) -> int:
    require(amount_micro > 0, "a payment is positive")
    return propose(PAY, to, amount_micro, self.rules, about)


@export
def propose_weight(member: address, weight: int, about: str) -> int:
    require(0 <= weight <= MAX_WEIGHT, "the weight is out of range")
    return propose(WEIGHT, member, weight, self.rules, about)


@export
def propose_rules(
    quorum_percent: int, majority_percent: int, voting_ms: int, timelock_ms: int, about: str
) -> int:
    wanted = checked(Rules(quorum_percent, majority_percent, voting_ms, timelock_ms))
    return propose(RULES, address(), 0, wanted, about)


@export
def vote(number: int, in_favour: bool):
    proposal = self.proposals[number]
    weight = self.weights.get(caller(), 0)
    require(weight > 0, "only members of the board vote")
    require(block.time_ms() < proposal.ends_ms, "voting has ended")
    require((number, caller()) not in self.votes, "the member has voted already")
    self.votes[(number, caller())] = in_favour
    if in_favour:
        self.proposals[number] = proposal.replace(yes=proposal.yes + weight)
    else:
        self.proposals[number] = proposal.replace(no=proposal.no + weight)
    emit(Voted(number, caller(), in_favour, weight))


@export
def execute(number: int):
    proposal = self.proposals[number]
    require(not proposal.is_done, "it was carried out already")
    require(block.time_ms() >= proposal.ends_ms, "voting has not ended")
    require(has_passed(proposal), "it did not pass")
    require(block.time_ms() >= proposal.ends_ms + self.rules.timelock_ms, "members may still leave")
    self.proposals[number] = proposal.replace(is_done=True)
    if proposal.kind == PAY:
        bank.transfer(proposal.member, proposal.amount)
    elif proposal.kind == WEIGHT:
        set_weight(proposal.member, proposal.amount)
    else:
        self.rules = proposal.rules
    emit(Executed(number, proposal.kind))


def propose(kind: int, member: address, amount: int, wanted: Rules, about: str) -> int:
    require(self.weights.get(caller(), 0) > 0, "only members of the board propose")
    require(len(about) <= 200, "say it in 200 letters")
    number = self.last_proposal + 1
    self.last_proposal = number
    ends = block.time_ms() + self.rules.voting_ms
    self.proposals[number] = Proposal(
        caller(), kind, member, amount, wanted, about, ends, 0, 0, False
    )
    emit(Proposed(number, caller(), kind, about, ends))
    return number


def has_passed(proposal: Proposal) -> bool:
    cast = proposal.yes + proposal.no
    if cast == 0 or cast * 100 < self.total_weight * self.rules.quorum_percent:
        return False
    return proposal.yes * 100 > cast * self.rules.majority_percent


def set_weight(member: address, weight: int):
    others = self.total_weight - self.weights.get(member, 0)
    require(others + weight > 0, "somebody has to vote")
    self.total_weight = others + weight
    if weight == 0:
        del self.weights[member]
    else:
        self.weights[member] = weight


def checked(wanted: Rules) -> Rules:
    require(1 <= wanted.quorum_percent <= 100, "a quorum is 1 to 100 percent")
    require(1 <= wanted.majority_percent <= 99, "a majority is above 1 to 99 percent")
    require(1 <= wanted.voting_ms <= MAX_MS, "voting takes some time")
    require(0 <= wanted.timelock_ms <= MAX_MS, "the time to leave is out of range")
    return wanted


@view
def proposal_of(number: int) -> Proposal:
    return self.proposals[number]


@view
def weight_of(member: address) -> int:
    return self.weights.get(member, 0)


@view
def treasury() -> int:
    return bank.balance(this())
