"""Tests of the crowdfunded installation."""

KWH = 1_000_000
TOKEN = 1_000_000
EQUITY, REWARD, DONATION = 1, 2, 3


def make_project(world):
    owner = world.member("coop", money="1000", energy="100kWh")
    people = [world.member(name, money="100") for name in ("eve", "rob", "don", "eli")]
    project = world.deploy(
        "crowdfunding.py", 100 * TOKEN, world.time_ms + 60_000, 30, KWH // 2, by=owner
    )
    return project, owner, people


def fund(world, project, people):
    eve, rob, don, eli = people
    for who, kind, amount in ((eve, EQUITY, 60), (rob, REWARD, 20), (don, DONATION, 5)):
        project.back(kind, amount * TOKEN, by=who, money=amount * TOKEN)
    project.back(EQUITY, 30 * TOKEN, by=eli, money="30")
    world.advance(minutes=1)


def test_equity_gets_its_part_of_income(world):
    project, owner, people = make_project(world)
    fund(world, project, people)
    eve, _, _, eli = people
    project.draw(by=owner)
    assert world.money(owner) == 1_115 * TOKEN
    project.pay_income(90 * TOKEN, by=owner, money="90")
    assert (project.income_of(eve), project.income_of(eli)) == (18 * TOKEN, 9 * TOKEN)
    project.take_income(by=eve)
    project.pay_income(30 * TOKEN, by=owner, money="30")
    assert (project.income_of(eve), project.income_of(eli)) == (6 * TOKEN, 12 * TOKEN)
    project.take_income(by=eve)
    project.take_income(by=eli)
    assert world.money(project) == 0
    with world.fails("requirement_failed", "nothing"):
        project.take_income(by=eve)


def test_rewards_are_energy(world):
    project, owner, people = make_project(world)
    fund(world, project, people)
    rob = people[1]
    assert project.reward_of(rob) == 10 * KWH
    project.deliver(4 * KWH, by=owner, energy="4kWh")
    assert project.take_reward(by=rob) == 4 * KWH
    project.deliver(50 * KWH, by=owner, energy="50kWh")
    assert project.take_reward(by=rob) == 6 * KWH
    with world.fails("requirement_failed", "nothing"):
        project.take_reward(by=rob)


def test_without_the_goal_everybody_gets_the_money_back(world):
    project, owner, people = make_project(world)
    eve, rob, don, _ = people
    for who, kind in ((eve, EQUITY), (rob, REWARD), (don, DONATION)):
        project.back(kind, 10 * TOKEN, by=who, money="10")
    with world.fails("requirement_failed", "not over"):
        project.take_back(EQUITY, by=eve)
    world.advance(minutes=1)
    with world.fails("requirement_failed", "goal"):
        project.draw(by=owner)
    for who, kind in ((eve, EQUITY), (rob, REWARD), (don, DONATION)):
        project.take_back(kind, by=who)
        assert world.money(who) == 100 * TOKEN
    with world.fails("requirement_failed", "nothing"):
        project.take_back(EQUITY, by=eve)
    assert world.money(project) == 0


def test_the_owner_draws_once(world):
    project, owner, people = make_project(world)
    fund(world, project, people)
    with world.fails("wrong_caller"):
        project.draw(by=people[0])
    project.draw(by=owner)
    with world.fails("requirement_failed", "already"):
        project.draw(by=owner)
    with world.fails("requirement_failed", "over"):
        project.back(DONATION, 1, by=people[0], money=1)
