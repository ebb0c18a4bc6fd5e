"""Proofs checked from the pinned genesis: true ones hold, and a lying node is caught."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.keyfile import save_plain_key
from node.ledger.certificate import encode_certificate
from node.ledger.proof_paths import decode_proof
from node.ledger.proofs import AccountProof
from tests.ledger.support import id_of, key_of, seed
from tests.tools.fake_node import fake_node
from tests.tools.proving import DOCUMENT, ProvingChain, ProvingNode
from tools import verify_proof
from tools.cli import run
from tools.proofs import fetch_account_proof, verify_account_proof
from tools.session import Network, Session, save_network
from vm.primitives.address import encode_address
from vm.primitives.errors import BitenergyError, InvalidProof
from vm.system.accounts import account_key
from vm.system.members import NAME_SPACE


@pytest.fixture(scope="module")
def grown() -> ProvingChain:
    """A chain of 40 blocks whose validators changed twice."""
    chain = ProvingChain()
    transfer = chain.transaction("P1", ("accounts", "transfer", (id_of("P2"), 5_000_000, "")))
    chain.extend(10, transfer)
    chain.extend(15, chain.transaction("Op", ("members", "suspend", (id_of("V4"),))))
    chain.extend(15, chain.transaction("Op", ("members", "suspend", (id_of("V3"),))))
    return chain


@pytest.fixture
def fresh() -> ProvingChain:
    """A chain of three blocks."""
    chain = ProvingChain()
    chain.extend(1)
    chain.extend(2, chain.transaction("P1", ("accounts", "transfer", (id_of("P2"), 5, ""))))
    return chain


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[[ProvingChain], tuple[ProvingNode, Session]]]:
    with fake_node() as fake:

        def start(chain: ProvingChain) -> tuple[ProvingNode, Session]:
            save_network(home, Network(chain.genesis.digest, fake.url))
            return ProvingNode(fake, chain), Session(home)

        yield start


Serve = Callable[[ProvingChain], tuple[ProvingNode, Session]]


def check(session: Session, who: str) -> object:
    return verify_account_proof(session, fetch_account_proof(session, who), who)


def test_a_true_proof_shows_the_account(serve: Serve, fresh: ProvingChain) -> None:
    _, session = serve(fresh)
    found = verify_account_proof(session, fetch_account_proof(session, "P1"), "P1")
    assert found.leaf == fresh.account("P1")
    assert found.roles == ("prosumer",)
    assert found.header == fresh.parent.header
    assert found.signers == 4


def test_changes_of_the_validators_are_followed(serve: Serve, grown: ProvingChain) -> None:
    node, session = serve(grown)
    found = verify_account_proof(session, fetch_account_proof(session, "P2"), "P2")
    assert found.header.height == 40
    assert found.leaf == grown.account("P2")
    headers = [path for path, _ in node.fake.requests if path.startswith("/headers/")]
    assert 4 < len(headers) < 20
    assert found.signers == 2


def test_absence_is_proved_too(serve: Serve, fresh: ProvingChain) -> None:
    node, session = serve(fresh)
    key = account_key(b"\x01" * 20)
    node.change = lambda _: fresh.proof(key)
    found = verify_account_proof(
        session, fetch_account_proof(session, "x"), encode_address(b"\x01" * 20)
    )
    assert found.leaf is None
    assert found.as_json()["exists"] is False


def test_the_name_of_a_later_member_is_proved_by_its_own_leaf(serve: Serve) -> None:
    chain = ProvingChain()
    admit = (key_of("N1"), "N1", 1 << 4, "", b"", b"", b"")
    chain.extend(1, chain.transaction("Op", ("members", "admit", admit)))
    node, session = serve(chain)
    found = verify_account_proof(session, fetch_account_proof(session, "N1"), "N1")
    assert found.account == id_of("N1")
    for lie in (
        lambda _: chain.proof(NAME_SPACE + b"P1"),
        lambda proof: replace(proof, value=id_of("P1")),
        lambda _: chain.proof(NAME_SPACE + b"N2"),
    ):
        node.named = lie
        with pytest.raises(BitenergyError):
            check(session, "N1")
    node.named = lambda proof: proof
    fetched = replace(fetch_account_proof(session, "N1"), name=b"")
    with pytest.raises(InvalidProof, match="nothing proves whose account N1 is"):
        verify_account_proof(session, fetched, "N1")
    node.change = lambda _: chain.proof(account_key(id_of("P1")))
    with pytest.raises(InvalidProof, match="not of the account of N1"):
        check(session, "N1")


def richer(proof: AccountProof) -> AccountProof:
    return replace(proof, value=(proof.value or b"").replace(b"\xce", b"\xcf\0\0\0\1", 1))


def other_root(proof: AccountProof) -> AccountProof:
    header = proof.finality.header.replace(proof.finality.header[-60:-40], bytes(20))
    return replace(proof, finality=replace(proof.finality, header=header))


def own_validators(proof: AccountProof) -> AccountProof:
    data = proof.finality.validators
    forged = data.replace(key_of("V1", "vote"), key_of("P1"))
    return replace(proof, finality=replace(proof.finality, validators=forged))


LIES: dict[str, Callable[[ProvingChain], Callable[[AccountProof], AccountProof]]] = {
    "another account": lambda chain: lambda _: chain.proof(account_key(id_of("P2"))),
    "denied existence": lambda _: lambda proof: replace(proof, value=None),
    "more money": lambda _: richer,
    "another header": lambda _: other_root,
    "validators of its own": lambda _: own_validators,
    "another block's certificate": lambda chain: (
        lambda proof: replace(
            proof,
            finality=replace(proof.finality, certificate=chain.finality[2].certificate),
        )
    ),
    "an older header": lambda chain: lambda proof: replace(proof, finality=chain.finality[1]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_node_is_caught(serve: Serve, fresh: ProvingChain, lie: str) -> None:
    node, session = serve(fresh)
    node.change = LIES[lie](fresh)
    with pytest.raises(BitenergyError):
        check(session, "P1")


def test_too_few_signatures_prove_nothing(serve: Serve, fresh: ProvingChain) -> None:
    node, session = serve(fresh)
    thin = encode_certificate(fresh.certify(fresh.build().candidate, signers=(0, 1)))
    node.change = lambda proof: replace(proof, finality=replace(proof.finality, certificate=thin))
    with pytest.raises(InvalidProof):
        check(session, "P1")


def test_another_genesis_with_other_validators_is_not_believed(
    serve: Serve, fresh: ProvingChain, home: Path
) -> None:
    node, session = serve(fresh)
    forged = DOCUMENT | {"chain": "forged"}
    node.fake.routes["/genesis/document"] = lambda _: (200, forged)
    with pytest.raises(BitenergyError, match="pinned hash"):
        check(session, "P1")


def test_headers_that_contradict_each_other_are_not_followed(
    serve: Serve, grown: ProvingChain
) -> None:
    node, session = serve(grown)
    real = node.answer

    def shifted(method: str, path: str, query: dict[str, str], body: object) -> object:
        if path.startswith("/headers/"):
            height = min(int(path.rpartition("/")[2]), 5)
            return real(method, f"/headers/{height}", query, body)
        return real(method, path, query, body)

    node.fake.answer = shifted  # type: ignore[method-assign,assignment]
    with pytest.raises(InvalidProof):
        check(session, "P2")


def test_the_commands_keep_and_check_proofs(
    serve: Serve,
    fresh: ProvingChain,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(fresh)
    kept, genesis = str(tmp_path / "proof"), tmp_path / "genesis.json"
    start = ["--home", str(home), "proof", "account", "P1"]
    assert run([*start, "--file", kept]) == 0
    assert "not verified" in capsys.readouterr().out
    assert run([*start, "--verify", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] is True
    assert found["money_micro"] == fresh.account("P1").money_micro
    assert run([*start, "--verify"]) == 0
    assert "999.999995 tokens" in capsys.readouterr().out
    genesis.write_text(json.dumps(DOCUMENT))
    offline = [*start, "--verify", "--offline", "--file", kept, "--genesis", str(genesis)]
    assert run(["--node", "http://127.0.0.1:1", *offline]) == 0
    Path(kept).write_bytes(Path(kept).read_bytes()[:-1])
    assert run(offline) == 1
    assert run([*start, "--verify", "--offline"]) == 2


def test_a_proof_file_stands_alone_after_changes_of_the_validators(
    serve: Serve,
    grown: ProvingChain,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(grown)
    genesis, kept = tmp_path / "genesis.json", tmp_path / "kept"
    genesis.write_text(json.dumps(DOCUMENT))
    transfer = grown.blocks[1].transactions[0].id.hex()
    suspension = grown.blocks[26].transactions[0].id.hex()
    for what, who, steps in (
        ("account", "P2", 2),
        ("transaction", transfer, 0),
        ("transaction", suspension, 1),
    ):
        start = ["--home", str(home), "proof", what, who, "--file", str(kept)]
        assert run(start) == 0
        assert len(decode_proof(kept.read_bytes()).steps) == steps
        offline = [*start, "--verify", "--offline", "--genesis", str(genesis)]
        assert run(["--node", "http://127.0.0.1:1", *offline]) == 0
        assert run([*start, "--verify"]) == 0
        assert verify_proof.main([str(genesis), str(kept)]) == 0
        for height in (0, 20, 26):
            block = grown.blocks[height].block_id if height else grown.first.block_id
            capsys.readouterr()
            is_before = what == "account" or height < (1 if who == transfer else 27)
            assert (run([*start, "--from", str(height)]) == 0) == is_before
            assert (verify_proof.main([f"{height}:{block.hex()}", str(kept)]) == 0) == is_before
    other = ["--home", str(home), "proof", "transaction", transfer, "--file", str(kept)]
    assert run([*other[:-3], suspension, *other[-2:]]) == 0
    capsys.readouterr()
    assert run([*other, "--verify", "--offline", "--genesis", str(genesis)]) == 1
    assert "another transaction" in capsys.readouterr().err
    assert run([*other, "--verify", "--from", "3"]) == 2


def test_without_a_pin_there_is_nothing_to_check_against(
    serve: Serve, fresh: ProvingChain, home: Path
) -> None:
    _, session = serve(fresh)
    fetched = fetch_account_proof(session, "P1")
    (home / "network.json").unlink()
    with pytest.raises(BitenergyError, match="no network is pinned"):
        verify_account_proof(session, fetched, "P1")


def test_a_key_of_the_wallet_means_its_own_account(
    serve: Serve, fresh: ProvingChain, home: Path
) -> None:
    node, session = serve(fresh)
    (home / "keys").mkdir(parents=True)
    save_plain_key(home / "keys/mine.json", seed("P2"), purpose="account")
    found = verify_account_proof(session, fetch_account_proof(session, "mine"), "mine")
    assert found.account == id_of("P2")
    node.change = lambda _: fresh.proof(account_key(id_of("P1")))
    with pytest.raises(InvalidProof, match="not of the account"):
        check(session, "mine")
