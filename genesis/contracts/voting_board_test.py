"""Tests of the voting board."""

TOKEN = 1_000_000


def make_board(world):
    people = [world.member(name, money="100") for name in ("ann", "ben", "cid")]
    board = world.deploy("voting_board.py", 60, 50, 10_000, 5_000, by=people[0])
    for member in people[1:]:
        number = board.propose_weight(member, 1, "welcome", by=people[0])
        for voter in people:
            if board.weight_of(voter):
                board.vote(number, True, by=voter)
        world.advance(s=15)
        board.execute(number, by=member)
    board.fund(50 * TOKEN, by=people[0], money="50")
    return board, people


def test_a_payment_passes_waits_and_is_made_once(world):
    board, (ann, ben, cid) = make_board(world)
    number = board.propose_payment(cid, 20 * TOKEN, "the meter", by=ben)
    board.vote(number, True, by=ann)
    board.vote(number, True, by=ben)
    with world.fails("requirement_failed", "not ended"):
        board.execute(number, by=cid)
    world.advance(s=10)
    with world.fails("requirement_failed", "leave"):
        board.execute(number, by=cid)
    world.advance(s=5)
    board.execute(number, by=cid)
    assert (board.treasury(), world.money(cid)) == (30 * TOKEN, 120 * TOKEN)
    with world.fails("requirement_failed", "already"):
        board.execute(number, by=cid)


def test_without_quorum_or_majority_nothing_happens(world):
    board, (ann, ben, cid) = make_board(world)
    lonely = board.propose_payment(ann, TOKEN, "for me", by=ann)
    board.vote(lonely, True, by=ann)
    refused = board.propose_payment(ann, TOKEN, "for me", by=ann)
    for member, in_favour in ((ann, True), (ben, False)):
        board.vote(refused, in_favour, by=member)
    world.advance(minutes=1)
    for number in (lonely, refused):
        with world.fails("requirement_failed", "did not pass"):
            board.execute(number, by=ann)


def test_who_votes_and_when(world):
    board, (ann, ben, _) = make_board(world)
    stranger = world.member("stranger")
    with world.fails("requirement_failed", "propose"):
        board.propose_payment(stranger, 1, "", by=stranger)
    number = board.propose_payment(ben, 1, "", by=ann)
    with world.fails("requirement_failed", "only members"):
        board.vote(number, True, by=stranger)
    board.vote(number, True, by=ann)
    with world.fails("requirement_failed", "already"):
        board.vote(number, False, by=ann)
    world.advance(s=10)
    with world.fails("requirement_failed", "ended"):
        board.vote(number, True, by=ben)


def test_the_board_changes_its_own_rules(world):
    board, people = make_board(world)
    number = board.propose_rules(100, 90, 1_000, 0, "together or not", by=people[0])
    for member in people:
        board.vote(number, True, by=member)
    world.advance(s=15)
    board.execute(number, by=people[0])
    second = board.propose_payment(people[0], 1, "", by=people[0])
    board.vote(second, True, by=people[0])
    board.vote(second, True, by=people[1])
    world.advance(s=1)
    with world.fails("requirement_failed", "did not pass"):
        board.execute(second, by=people[0])


def test_the_last_member_stays(world):
    ann = world.member("ann")
    board = world.deploy("voting_board.py", 50, 50, 1_000, 0, by=ann)
    number = board.propose_weight(ann, 0, "bye", by=ann)
    board.vote(number, True, by=ann)
    world.advance(s=1)
    with world.fails("requirement_failed", "somebody"):
        board.execute(number, by=ann)
