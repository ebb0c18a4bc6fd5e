"""Tests of the fungible token."""

from random import Random


def make_token(world):
    alice, bob = world.member("alice"), world.member("bob")
    return world.deploy("token.py", "Sun", 1_000, by=alice), alice, bob


def test_a_transfer_moves_and_tells(world):
    token, alice, bob = make_token(world)
    assert token.transfer(bob, 250, by=alice) is True
    assert (token.balance_of(alice), token.balance_of(bob)) == (750, 250)
    assert world.told(token)[-1].values == (alice.address, bob.address, 250)
    assert token.label_of() == "Sun"


def test_nobody_gives_what_is_not_there(world):
    token, alice, bob = make_token(world)
    for amount in (0, -1, 1_001, 2**255 - 1, -(2**255)):
        with world.fails("requirement_failed"):
            token.transfer(bob, amount, by=alice)
    assert token.balance_of(alice) == 1_000


def test_a_transfer_to_oneself_changes_nothing(world):
    token, alice, _ = make_token(world)
    token.transfer(alice, 1_000, by=alice)
    assert (token.balance_of(alice), token.supply()) == (1_000, 1_000)


def test_allowances_are_used_up(world):
    token, alice, bob = make_token(world)
    token.approve(bob, 100, by=alice)
    token.transfer_from(alice, bob, 60, by=bob)
    with world.fails("requirement_failed", "allowed"):
        token.transfer_from(alice, bob, 41, by=bob)
    assert token.allowance_of(alice, bob) == 40


def test_only_its_owner_makes_more(world):
    token, alice, bob = make_token(world)
    with world.fails("wrong_caller"):
        token.mint(bob, 1, by=bob)
    token.mint(bob, 5, by=alice)
    assert token.supply() == 1_005
    token.burn(5, by=bob)
    assert (token.supply(), token.balance_of(bob)) == (1_000, 0)
    with world.fails("requirement_failed", "so much"):
        token.mint(bob, 10**24, by=alice)


def test_what_there_is_stays_the_same(world):
    token, alice, bob = make_token(world)
    people = [alice, bob, *(world.member(f"m{number}") for number in range(4))]
    random = Random(1)
    for _ in range(200):
        sender, receiver = random.choice(people), random.choice(people)
        amount = random.randrange(1, 500)
        if amount <= token.balance_of(sender):
            token.transfer(receiver, amount, by=sender)
        else:
            with world.fails("requirement_failed"):
                token.transfer(receiver, amount, by=sender)
        assert sum(token.balance_of(one) for one in people) == token.supply() == 1_000
