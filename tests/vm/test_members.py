"""Members come, change, are suspended and leave, by the operators' word and on the record."""

import pytest

from tests.ledger.support import ROLES, Chain, genesis_document, id_of, key_of, node_proof
from vm.context import BlockContext, CallContext
from vm.overlay import Overlay
from vm.primitives.address import account_id
from vm.primitives.errors import InvalidGenesis
from vm.system.accounts import ACTIVE, REMOVED, SUSPENDED
from vm.system.members import (
    GAS_KEY,
    GAS_NODE_PROOF,
    read_account_id,
    read_member,
    read_node_registry,
)
from vm.system.validators import read_validators

VALIDATOR, PROSUMER = 1 << ROLES.index("validator"), 1 << ROLES.index("prosumer")
OPERATOR = 1 << ROLES.index("operator")
PROOF = b"\1" * 64
NODE_KEY, NODE_PROOF = key_of("New", "node"), node_proof("New")


def admit(who: str, roles_: int = PROSUMER, **changes: object) -> tuple:
    """Return the call that admits a new member."""
    values: dict[str, object] = {
        "key": key_of(who),
        "name": who,
        "roles": roles_,
        "bus": "",
        "node_key": b"",
        "node_proof": b"",
        "vote_key": b"",
    }
    return ("members", "admit", tuple((values | changes).values()))


def call(method: str, *values: object) -> tuple:
    """Return a call of the registry."""
    return ("members", method, values)


def test_a_new_member_can_be_found_and_can_transact() -> None:
    chain = Chain()
    receipt = chain.run("Op", admit("New", bus="bus-7"))
    assert (receipt.code, receipt.values) == ("", (id_of("New"),))
    member = read_member(chain.state, id_of("New"))
    assert member is not None
    assert (member.name, member.bus, member.admitted_height) == ("New", "bus-7", 1)
    assert read_account_id(chain.state, "New") == id_of("New")
    assert chain.account("New").roles == PROSUMER
    chain.run("P1", ("accounts", "transfer", (id_of("New"), 9, "")))
    assert chain.run("New", ("accounts", "transfer", (id_of("P1"), 9, ""))).code == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "P1"}, "name_taken"),
        ({"name": "a b"}, "invalid_arguments"),
        ({"name": ""}, "invalid_arguments"),
        ({"key": key_of("P1")}, "member_exists"),
        ({"key": bytes(32)}, "invalid_arguments"),
        ({"key": b"\1" + bytes(31)}, "invalid_arguments"),
        ({"roles": 1 << len(ROLES)}, "unknown_role"),
        ({"roles": -1}, "invalid_arguments"),
        ({"bus": "bus 7"}, "invalid_arguments"),
        ({"node_key": key_of("n")}, "invalid_arguments"),
        ({"node_proof": PROOF}, "invalid_arguments"),
        ({"node_key": b"\1" + bytes(31), "node_proof": PROOF}, "invalid_arguments"),
        ({"node_key": NODE_KEY, "node_proof": PROOF}, "wrong_proof"),
        ({"node_key": NODE_KEY, "node_proof": node_proof("V1")}, "wrong_proof"),
        ({"node_key": key_of("V1", "node"), "node_proof": NODE_PROOF}, "wrong_proof"),
        ({"node_key": key_of("New"), "node_proof": node_proof("New", "account")}, "key_taken"),
        (
            {"node_key": NODE_KEY, "node_proof": NODE_PROOF, "vote_key": NODE_KEY},
            "key_taken",
        ),
        ({"vote_key": b"\1" + bytes(31)}, "invalid_arguments"),
        ({"roles": VALIDATOR, "vote_key": key_of("V1", "vote")}, "key_taken"),
        ({"roles": VALIDATOR, "vote_key": key_of("New")}, "key_taken"),
    ],
)
def test_admissions_that_contradict_the_registry(changes: dict, code: str) -> None:
    chain = Chain()
    before = dict(chain.entries)
    assert chain.run("Op", admit("New", **changes)).code == code
    assert {key for key in chain.entries if chain.entries[key] != before.get(key)} == {
        b"a" + id_of("Op")
    }


@pytest.mark.parametrize(
    "one",
    [
        admit("New"),
        call("suspend", id_of("P2")),
        call("reinstate", id_of("P2")),
        call("remove", id_of("P2")),
        call("set_roles", id_of("P1"), OPERATOR),
        call("set_bus", id_of("P1"), "b"),
        call("reset_key", id_of("P2"), key_of("P1", "next")),
        call("set_vote_key", key_of("P1", "vote")),
    ],
)
def test_others_than_operators_are_refused(one: tuple) -> None:
    chain = Chain()
    assert chain.run("P1", one).code == "wrong_role"


def test_suspension_ends_everything_until_it_ends() -> None:
    chain = Chain()
    assert key_of("V2", "node") in read_node_registry(chain.state)
    assert chain.run("Op", call("suspend", id_of("V2"))).code == ""
    assert chain.account("V2").status == SUSPENDED
    assert key_of("V2", "node") not in read_node_registry(chain.state)
    assert id_of("V2") not in [one.account for one in read_validators(chain.state)]
    built = chain.build([chain.transaction("V2")])
    assert [error.code for _, error in built.dropped] == ["not_active"]
    assert chain.run("Op", call("suspend", id_of("V2"))).code == "wrong_status"
    assert chain.run("Op", call("reinstate", id_of("V2"))).code == ""
    assert chain.account("V2").status == ACTIVE
    assert read_node_registry(chain.state)[key_of("V2", "node")]
    assert id_of("V2") in [one.account for one in read_validators(chain.state)]
    assert chain.run("Op", call("reinstate", id_of("V2"))).code == "wrong_status"


def test_removal_is_for_good() -> None:
    chain = Chain()
    balance = chain.account("P2").money_micro
    assert chain.run("Op", call("remove", id_of("P2"))).code == ""
    assert (chain.account("P2").status, chain.account("P2").money_micro) == (REMOVED, balance)
    for method in ("reinstate", "suspend", "remove"):
        assert chain.run("Op", call(method, id_of("P2"))).code == "wrong_status"
    assert chain.run("Op", admit("P2")).code == "member_exists"


@pytest.mark.parametrize("method", ["suspend", "remove"])
def test_operators_do_not_lock_themselves_out(method: str) -> None:
    chain = Chain()
    assert chain.run("Op", call(method, id_of("Op"))).code == "own_account"
    assert chain.run("Op", call("set_roles", id_of("Op"), 0)).code == "own_account"
    assert chain.run("Op", call(method, id_of("Op2"))).code == ""


def test_who_registers_the_node_key_of_another_keeps_nobody_out() -> None:
    """A proof is public once it stands in the registry: it may be copied, and gains nothing."""
    chain = Chain()
    key, proof = key_of("V1", "node"), node_proof("V1")
    copied = call("set_node_key", key, proof)
    assert chain.run("P1", copied).code == ""
    assert chain.run("Op", call("suspend", id_of("P1"))).code == ""
    assert read_node_registry(chain.state)[key] == proof, "only P1's own entry is gone"
    assert chain.run("Op", call("reinstate", id_of("P1"))).code == ""
    assert chain.run("V1", copied).code == "", "one's own key again"
    assert chain.run("Op", call("suspend", id_of("V1"))).code == ""
    assert chain.run("Op", call("reinstate", id_of("V1"))).code == ""
    assert chain.run("P1", call("set_node_key", b"", b"")).code == ""
    assert read_node_registry(chain.state)[key] == proof
    admitted = {"node_key": key, "node_proof": proof}
    assert chain.run("Op", admit("New", **admitted)).code == ""
    assert chain.run("Op", call("remove", id_of("V1"))).code == ""
    assert chain.run("Op", call("remove", id_of("New"))).code == ""
    assert key not in read_node_registry(chain.state)


def test_no_purpose_takes_the_key_of_another() -> None:
    chain = Chain()
    for key in (key_of("V1", "node"), key_of("V1", "vote")):
        assert chain.run("V1", call("rotate_key", key)).code == "key_taken"
        assert chain.run("Op", call("reset_key", id_of("V1"), key)).code == "key_taken"
    for purpose in ("account", "vote"):
        change = call("set_node_key", key_of("V1", purpose), node_proof("V1", purpose))
        assert chain.run("V1", change).code == "key_taken"
    assert chain.run("V1", call("rotate_key", key_of("V1", "next"))).code == ""


def test_checks_of_keys_and_proofs_are_paid_for() -> None:
    chain = Chain()
    plain = chain.run("Op", admit("One"))
    node = {"node_key": NODE_KEY, "node_proof": NODE_PROOF}
    assert plain.gas_used > GAS_KEY
    assert (
        chain.run("Op", admit("New", **node)).gas_used > plain.gas_used + GAS_KEY + GAS_NODE_PROOF
    )
    for name, one, least in (
        ("V1", call("rotate_key", key_of("V1", "next")), GAS_KEY),
        ("Op", call("reset_key", id_of("V2"), key_of("V2", "next")), GAS_KEY),
        ("V3", call("set_vote_key", key_of("V3", "next")), GAS_KEY),
        (
            "V4",
            call("set_node_key", key_of("V4", "next"), node_proof("V4", "next")),
            GAS_KEY + GAS_NODE_PROOF,
        ),
    ):
        receipt = chain.run(name, one)
        assert receipt.code == "" and receipt.gas_used > 1_200 + least


def test_genesis_has_the_proofs_of_its_node_keys() -> None:
    document = genesis_document()
    for member in document["members"]:
        if member["name"] == "V1":
            member["node_proof"] = PROOF.hex()
    with pytest.raises(InvalidGenesis, match="proof"):
        Chain(members=document["members"])


@pytest.mark.parametrize(
    "change",
    [
        call("suspend", id_of("Op2")),
        call("remove", id_of("Op2")),
        call("set_roles", id_of("Op2"), PROSUMER),
    ],
)
def test_enough_operators_for_an_agreement_remain(change: tuple) -> None:
    chain = Chain(parameters={"operator_threshold": 2})

    def agree(one: tuple, *names: str) -> str:
        return [chain.run(name, one).code for name in names][-1]

    assert agree(admit("Op3", OPERATOR), "Op", "Op2") == ""
    assert agree(change, "Op", "Op3") == "", "two remain"
    assert agree(call("remove", id_of("P1")), "Op", "Op3") == "", "others may go"
    assert agree(admit("Op4", OPERATOR), "Op", "Op3") == ""
    assert agree(call("suspend", id_of("Op4")), "Op", "Op3") == ""
    last = call("suspend", id_of("Op3"))
    assert agree(last, "Op3", "Op") == "too_few_operators"
    assert agree(call("reinstate", id_of("Op4")), "Op", "Op3") == ""
    assert agree(last, "Op3", "Op") == "", "Op and Op4 remain"


def test_keys_rotate_from_the_next_transaction_on() -> None:
    chain = Chain()
    fresh = key_of("P1", "next")
    old = chain.transaction("P1", nonce=1)
    assert chain.run("P1", call("rotate_key", fresh)).code == ""
    assert chain.account("P1").key == fresh
    assert [error.code for _, error in chain.build([old]).dropped] == ["wrong_key"]
    good = chain.transaction("P1", seed_purpose="next")
    assert good.sender == id_of("P1") != account_id(fresh)
    assert chain.grow(good).codes == [""]


def test_an_operator_resets_a_lost_key() -> None:
    chain = Chain()
    assert chain.run("Op", call("reset_key", id_of("P1"), key_of("P1", "next"))).code == ""
    assert chain.account("P1").key == key_of("P1", "next")
    assert chain.run("Op", call("reset_key", id_of("X"), key_of("X"))).code == "unknown_account"
    small = b"\1" + bytes(31)
    assert chain.run("Op", call("reset_key", id_of("P1"), small)).code == "invalid_arguments"


def test_node_keys_change_in_the_registry_of_peers() -> None:
    chain = Chain()
    fresh = key_of("V1", "other node")
    proof = node_proof("V1", "other node")
    assert chain.run("V1", call("set_node_key", fresh, proof)).code == ""
    registry = read_node_registry(chain.state)
    assert registry[fresh] == proof
    assert key_of("V1", "node") not in registry
    assert chain.run("V1", call("set_node_key", fresh, PROOF)).code == "wrong_proof"
    assert chain.run("V1", call("set_node_key", b"", b"")).code == ""
    assert fresh not in read_node_registry(chain.state)


def test_the_node_index_can_be_rebuilt_from_the_leaves() -> None:
    chain = Chain()
    chain.run("Op", call("suspend", id_of("V3")))
    wanted = {key: value for key, value in chain.entries.items() if key[:1] == b"i"}
    overlay = Overlay(chain.state)
    for key in wanted:
        overlay.put(key, None)
    block = BlockContext(bytes(32), 1, 1, chain.genesis.parameters)
    ctx = CallContext(block, overlay, 10**9)
    for key, value in chain.entries.items():
        if key[:1] != b"i":
            chain.runtime.modules["members"].rebuild_index(ctx, key, value)
    assert dict(overlay.scan(b"i", b"j")) == wanted
    assert len(wanted) == 3


def test_validators_follow_roles_status_and_vote_keys() -> None:
    chain = Chain()
    before = read_validators(chain.state)
    assert [one.account for one in before] == sorted(id_of(f"V{n}") for n in (1, 2, 3, 4))
    chain.run("Op", admit("V5", VALIDATOR, vote_key=key_of("V5", "vote")))
    assert len(read_validators(chain.state)) == 5
    header = chain.parent.header
    assert header.next_validators != header.validators
    assert chain.grow().candidate.header.validators == header.next_validators
    fresh = key_of("V5", "next vote")
    assert chain.run("V5", call("set_vote_key", fresh)).code == ""
    assert fresh in [one.vote_key for one in read_validators(chain.state)]
    for taken in (fresh, key_of("V2", "node"), key_of("V2")):
        assert chain.run("V2", call("set_vote_key", taken)).code == "key_taken"
    assert chain.run("Op", call("set_roles", id_of("V5"), PROSUMER)).code == ""
    assert [one.account for one in read_validators(chain.state)] == [one.account for one in before]


def test_the_last_validator_stays() -> None:
    chain = Chain()
    for name in ("V1", "V2", "V3"):
        assert chain.run("Op", call("remove", id_of(name))).code == ""
    assert chain.run("Op", call("suspend", id_of("V4"))).code == "last_validator"
    assert chain.run("Op", call("set_roles", id_of("V4"), 0)).code == "last_validator"
    assert len(read_validators(chain.state)) == 1


def test_the_dso_sets_buses() -> None:
    chain = Chain()
    chain.run("Op", admit("Dso", 1 << ROLES.index("dso")))
    assert chain.run("Dso", call("set_bus", id_of("P1"), "bus-3")).code == ""
    member = read_member(chain.state, id_of("P1"))
    assert member is not None and member.bus == "bus-3"
