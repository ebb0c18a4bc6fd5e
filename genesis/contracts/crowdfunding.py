"""A crowdfunded installation: backers give for a share, for energy, or for nothing.

What equity backers gave are shares: they get a fixed part of all later income. Reward backers get
energy of the installation, so much for each token. Donors get the owner's thanks. If the goal is not
reached in time everybody takes the money back.
"""

import bank
import block
from math import mul_div

EQUITY = 1
REWARD = 2
DONATION = 3
TOKEN = 10**6
SCALE = 10**18
MAX_GOAL = 10**15

owner: address
goal_micro: int
deadline_ms: int
equity_percent: int
reward_milli_wh_per_token: int
raised_micro: int
shares: int
is_drawn: bool
mark: int
given: map[tuple[address, int], int]
marks: map[address, int]
due: map[address, int]
owed_milli_wh: map[address, int]
owed_in_all: int

Backed = event(backer=address, kind=int, amount_micro=int)
Income = event(amount_micro=int, shared_micro=int)
Paid = event(backer=address, amount_micro=int)
Rewarded = event(backer=address, energy_milli_wh=int)


@init
def start(goal: int, deadline: int, part_percent: int, reward_milli_wh: int):
    require(0 < goal <= MAX_GOAL, "the goal is out of range")
    require(deadline > block.time_ms(), "the deadline is to come")
    require(0 <= part_percent <= 100, "a part is 0 to 100 percent")
    require(0 <= reward_milli_wh <= MAX_GOAL, "the reward is out of range")
    self.owner = caller()
    self.goal_micro = goal
    self.deadline_ms = deadline
    self.equity_percent = part_percent
    self.reward_milli_wh_per_token = reward_milli_wh


@export
def back(kind: int, amount_micro: int):
    require(EQUITY <= kind <= DONATION, "the kind is 1 (equity), 2 (reward) or 3 (donation)")
    require(block.time_ms() < self.deadline_ms, "the time is over")
    bank.collect(amount_micro)
    self.raised_micro += amount_micro
    self.given[(caller(), kind)] = self.given.get((caller(), kind), 0) + amount_micro
    if kind == EQUITY:
        self.shares += amount_micro
    elif kind == REWARD:
        owed = mul_div(amount_micro, self.reward_milli_wh_per_token, TOKEN)
        self.owed_milli_wh[caller()] = self.owed_milli_wh.get(caller(), 0) + owed
        self.owed_in_all += owed
    emit(Backed(caller(), kind, amount_micro))


@export
def take_back(kind: int):
    require(block.time_ms() >= self.deadline_ms, "the time is not over")
    require(self.raised_micro < self.goal_micro, "the goal was reached")
    amount = self.given.get((caller(), kind), 0)
    require(amount > 0, "nothing was given")
    del self.given[(caller(), kind)]
    bank.transfer(caller(), amount)
    emit(Paid(caller(), amount))


@export(only=owner)
def draw():
    require(is_funded(), "the goal is not reached, or the time is not over")
    require(not self.is_drawn, "it was drawn already")
    self.is_drawn = True
    bank.transfer(self.owner, self.raised_micro)


@export
def pay_income(amount_micro: int):
    require(is_funded(), "there is no installation yet")
    bank.collect(amount_micro)
    shared = 0
    if self.shares > 0:
        shared = amount_micro * self.equity_percent // 100
        self.mark += shared * SCALE // self.shares
    if amount_micro > shared:
        bank.transfer(self.owner, amount_micro - shared)
    emit(Income(amount_micro, shared))


@export
def take_income() -> int:
    amount = income_of_backer(caller())
    require(amount > 0, "there is nothing to take")
    self.due[caller()] = 0
    self.marks[caller()] = self.mark
    bank.transfer(caller(), amount)
    emit(Paid(caller(), amount))
    return amount


@export
def deliver(energy_milli_wh: int):
    require(is_funded(), "there is no installation yet")
    bank.collect_energy(energy_milli_wh)


@export
def take_reward() -> int:
    require(is_funded(), "there is no installation yet")
    owed = self.owed_milli_wh.get(caller(), 0)
    energy = min(owed, bank.energy(this()))
    require(energy > 0, "there is nothing to take")
    self.owed_milli_wh[caller()] = owed - energy
    self.owed_in_all -= energy
    bank.transfer_energy(caller(), energy)
    emit(Rewarded(caller(), energy))
    return energy


def is_funded() -> bool:
    return self.raised_micro >= self.goal_micro and block.time_ms() >= self.deadline_ms


def income_of_backer(backer: address) -> int:
    share = self.given.get((backer, EQUITY), 0)
    new = mul_div(share, self.mark - self.marks.get(backer, 0), SCALE)
    return self.due.get(backer, 0) + new


@view
def income_of(backer: address) -> int:
    return income_of_backer(backer)


@view
def reward_of(backer: address) -> int:
    return self.owed_milli_wh.get(backer, 0)


@view
def state_of() -> tuple[int, int, bool]:
    return self.raised_micro, self.goal_micro, is_funded()
