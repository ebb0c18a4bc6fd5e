"""Members vote from one vote each to votes by stake and back, on running nodes."""

from __future__ import annotations

from pathlib import Path

from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from tests.node.network import Network, account_of, genesis_document, until
from tests.node.test_upgrades import VALIDATORS, decide, drive, validate_history

TOKEN = 1_000_000
STAKES = {"V0": "40", "V1": "30", "V2": "20", "V3": "10"}
MODULES = {
    "governance": {
        "voters": {"operator": 1},
        "quorum": [1, 4],
        "voting_period_ms": 500,
        "notice_blocks": 3,
    },
    "staking": {"token": "money", "stakes": STAKES, "unbonding_minutes": 40},
}


def powers_at(net: Network, name: str, height: int) -> list[int]:
    """Return the powers that decide a height, in the order of `VALIDATORS`."""
    found = net.nodes[name].store.validators_at(height)
    assert found is not None
    powers = {validator.account: validator.power for validator in found}
    return [powers[account_of(each)] for each in VALIDATORS]


async def test_a_network_goes_from_one_vote_each_to_votes_by_stake(tmp_path: Path) -> None:
    document = genesis_document(VALIDATORS, modules=MODULES, followers=("F",))
    net = Network(tmp_path, document)
    try:
        await net.start_all(*VALIDATORS)
        bond = net.next("V3", ("staking", "bond", (5 * TOKEN,)))
        await net.accept("V3", bond)
        await net.until_final(bond)
        height = await decide(net, "propose_engine", "pos", ())
        await drive(net, height + 4, *VALIDATORS)
        await net.until_equal()
        for name, node in net.nodes.items():
            assert type(node._driver.engine) is PosEngine
            assert powers_at(net, name, height - 1) == [1, 1, 1, 1]
            assert powers_at(net, name, height) == [40, 30, 20, 15]
        validate_history(net.nodes["V1"])
        # V0 and V1 with two thirds of the stake are not enough; with V2 they are, without V3.
        await net.stop("V3")
        await drive(net, height + 8, "V0", "V1", "V2")
        back = await net.start("V3")
        late = await net.start("F", votes=False)
        await net.until_equal()
        # Who caught up hears of the engine with the next height that it begins.
        await until(lambda: all(type(each._driver.engine) is PosEngine for each in (back, late)))
        assert len(net.roots()) == 1
    finally:
        await net.stop_all()


async def test_a_network_goes_back_to_one_vote_each(tmp_path: Path) -> None:
    document = genesis_document(VALIDATORS, modules=MODULES, engine_name="pos")
    net = Network(tmp_path, document)
    try:
        await net.start_all(*VALIDATORS)
        height = await decide(net, "propose_engine", "poa", ())
        await drive(net, height + 2, *VALIDATORS)
        # The greatest stake is away: under poa any three of four decide.
        await net.stop("V0")
        await drive(net, height + 6, "V1", "V2", "V3")
        for name in ("V1", "V2", "V3"):
            assert type(net.nodes[name]._driver.engine) is PoaEngine
            assert powers_at(net, name, height - 1) == [40, 30, 20, 10]
            assert powers_at(net, name, height) == [1, 1, 1, 1]
        validate_history(net.nodes["V1"])
    finally:
        await net.stop_all()
