"""The one-file verifier: alone it says what the node's own checks say, and no to every change."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import CommitCertificate, Vote, VoteKind
from node.ledger.certificate import decode_certificate, encode_certificate
from node.ledger.genesis import decode_genesis
from node.ledger.proof_paths import FollowedProof, TrustedBlock, decode_proof, verify_proof
from node.ledger.proof_paths import Trust as NodeTrust
from node.ledger.proofs import Finality
from node.ledger.state_tree import key_hash, value_hash
from tests.ledger.support import id_of, key_of
from tests.tools.proving import DOCUMENT, ProvingChain
from tools import verify_proof as alone
from tools.proofs import first_validators
from vm.primitives.address import encode_address
from vm.primitives.codec import decode, encode
from vm.primitives.errors import BitenergyError
from vm.system.accounts import account_key
from vm.system.validators import decode_validators

FILE = Path(alone.__file__)
GENESIS = json.dumps(DOCUMENT).encode()


@cache
def chain() -> ProvingChain:
    """A chain of 12 blocks: a transfer in block 1, other validators from blocks 5 and 8 on."""
    made = ProvingChain()
    transfer = ("accounts", "transfer", (id_of("P2"), 5_000_000, "rent"))
    made.extend(3, made.transaction("P1", transfer), made.transaction("P2"))
    made.extend(3, made.transaction("Op", ("members", "suspend", (id_of("V4"),))))
    made.extend(5, made.transaction("Op", ("members", "suspend", (id_of("V3"),))))
    made.extend(1, made.transaction("P1", transfer))
    return made


@cache
def proofs() -> dict[str, FollowedProof]:
    """Proofs that hold from genesis on, of every kind."""
    made = chain()
    steps = made.changes()
    assert len(steps) == 2
    return {
        "account": FollowedProof(steps, made.proof(account_key(id_of("P2")))),
        "nobody": FollowedProof(steps, made.proof(account_key(bytes(20)))),
        "late transaction": FollowedProof(steps, made.transaction_proof(12)),
        "early transaction": FollowedProof((), made.transaction_proof(1)),
        "second transaction": FollowedProof((), made.transaction_proof(1, 1)),
        "step without change": FollowedProof(
            (made.finality[2], *steps, made.finality[10]), made.transaction_proof(12)
        ),
    }


@cache
def trusts() -> tuple[alone.Trust, NodeTrust]:
    """The same trust in genesis, for both checks."""
    genesis = decode_genesis(GENESIS)
    first = first_validators(genesis)
    return alone.Trust(genesis.digest, first, 1), NodeTrust(genesis.digest, first, 1)


def says(data: bytes, trust: alone.Trust | None = None) -> bool:
    """Return the verdict of the one file."""
    try:
        alone.verify(data, trust or trusts()[0])
    except alone.Refused:
        return False
    return True


def agreed(data: bytes) -> bool:
    """Return the verdict of the one file, which is the node's too."""
    found = says(data)
    assert found == verify_proof(data, trusts()[1])
    return found


def test_it_is_short_and_needs_libsodium_alone() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("name", proofs())
def test_true_proofs_hold(name: str) -> None:
    assert agreed(proofs()[name].encode())
    assert decode_proof(proofs()[name].encode()) == proofs()[name]


def test_it_says_what_was_proved() -> None:
    found = alone.verify(proofs()["account"].encode(), trusts()[0])
    leaf = chain().account("P2")
    assert (found["money_micro"], found["nonce"]) == (leaf.money_micro, leaf.nonce)
    assert (found["account"], found["height"]) == (id_of("P2"), 12)
    found = alone.verify(proofs()["late transaction"].encode(), trusts()[0])
    assert found["code"] == ""
    assert found["events"][0][:2] == ["accounts", "transfer"]
    assert alone.verify(proofs()["nobody"].encode(), trusts()[0])["value"] is None


@pytest.mark.parametrize("name", proofs())
def test_no_byte_can_be_changed(name: str) -> None:
    """Every region of the bytes: a flipped bit anywhere is a no."""
    data = proofs()[name].encode()
    said = alone.verify(data, trusts()[0])
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        if agreed(bytes(changed)):
            # Nothing stands at the keys beside an absent one either: another truth is told.
            other = alone.verify(bytes(changed), trusts()[0])
            assert name == "nobody", place
            assert other["value"] is None
            assert other["state_key"] != said["state_key"]
    for end in range(0, len(data), 97):
        assert not agreed(data[:end])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Bytes of a proof after changes: cut, doubled, moved, overwritten, or parts of another."""
    data = draw(st.sampled_from([item.encode() for item in proofs().values()]))
    for _ in range(draw(st.integers(1, 3))):
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        other = draw(st.sampled_from([item.encode() for item in proofs().values()]))
        data = draw(
            st.sampled_from(
                [
                    data[:first] + data[last:],
                    data[:last] + data[first:],
                    data[:first] + draw(st.binary(max_size=9)) + data[first:],
                    data[:first] + other[first:],
                    data[:first] + other[first:last] + data[last:],
                ]
            )
        )
    return data


@given(mutated())
def test_its_verdict_is_the_nodes(data: bytes) -> None:
    agreed(data)


@st.composite
def rebuilt(draw: st.DrawFn) -> bytes:
    """A proof whose parts, well encoded, are exchanged, dropped, repeated or reordered."""
    names = st.sampled_from(sorted(proofs()))
    one, other = proofs()[draw(names)], proofs()[draw(names)]
    steps = draw(st.lists(st.sampled_from(list(chain().finality.values())), max_size=4))
    chosen = draw(st.sampled_from([one.steps, other.steps, one.steps[:1], tuple(steps)]))
    fields = list(decode(one.proof.encode(), max_bytes=2**20))
    for _ in range(draw(st.integers(0, 2))):
        fields[draw(st.integers(0, len(fields) - 1))] = draw(
            st.sampled_from(
                [
                    *decode(other.proof.encode(), max_bytes=2**20),
                    b"",
                    (),
                    0,
                    True,
                    (b"\x07", bytes(96), b""),
                    chain().finality[12].header,
                    chain().finality[3].certificate,
                ]
            )
        )
    inner = encode(fields)
    entries = [[step.header, step.certificate, step.validators] for step in chosen]
    return encode([42, 1, entries, inner]) if entries or draw(st.booleans()) else inner


@given(rebuilt())
def test_its_verdict_on_other_parts_is_the_nodes(data: bytes) -> None:
    agreed(data)


def test_its_verdict_on_the_frozen_proofs_is_the_one_that_is_frozen() -> None:
    path = Path(__file__).parents[1] / "vectors" / "proofs.json"
    document = json.loads(path.read_text(encoding="ascii"))
    for verdict, cases in ((True, document["accepted"]), (False, document["refused"])):
        for case in (each["input"] for each in cases):
            genesis, validators = (bytes.fromhex(case[name]) for name in ("genesis", "validators"))
            trust = alone.Trust(genesis, validators, 1)
            kind = 40 if case["form"] == "account" else 41
            data = bytes.fromhex(case["bytes"])
            if data[1:2] == bytes([kind]):  # each form has a command of its own there
                assert says(data, trust) == verdict, case
    assert len(document["refused"]) > len(document["accepted"]) > 0


def with_certificate(change: Callable[[CommitCertificate], CommitCertificate]) -> FollowedProof:
    """Return the early transaction's proof with another certificate."""
    proof = proofs()["early transaction"]
    finality = proof.proof.finality
    certificate = change(decode_certificate(finality.certificate))
    finality = replace(finality, certificate=encode_certificate(certificate))
    return replace(proof, proof=replace(proof.proof, finality=finality))


def _in_round(certificate: CommitCertificate, places: range, round_: int) -> CommitCertificate:
    """Return the certificate with the votes of `places` cast in another round."""
    made = chain()
    validators = decode_validators(made.finality[1].validators)
    names = {key_of(name, "vote"): name for name in ("V1", "V2", "V3", "V4")}
    signatures = dict(certificate.signatures)
    for place in places:
        vote = Vote(VoteKind.PRECOMMIT, certificate.height, round_, certificate.block_id, place)
        signatures[place] = made.sign_message(vote, names[validators[place].vote_key])
    return replace(certificate, signatures=tuple(signatures.items()))


CERTIFICATES: dict[str, tuple[bool, Callable[[CommitCertificate], CommitCertificate]]] = {
    "three of four": (True, lambda it: replace(it, signatures=it.signatures[:3])),
    "two of four": (False, lambda it: replace(it, signatures=it.signatures[:2])),
    "one signer twice": (
        False,
        lambda it: replace(it, signatures=(*it.signatures[:2], it.signatures[1])),
    ),
    "out of order": (False, lambda it: replace(it, signatures=it.signatures[::-1])),
    "another round": (False, lambda it: replace(it, round=1)),
    "mixed rounds": (False, lambda it: _in_round(it, range(2), 1)),
    "another round, signed": (True, lambda it: replace(_in_round(it, range(4), 3), round=3)),
    "a prevote": (
        False,
        lambda it: replace(it, signatures=((0, bytes(64)), *it.signatures[1:])),
    ),
    "nobody": (False, lambda it: replace(it, signatures=())),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates_decide_with_more_than_two_thirds(name: str) -> None:
    holds, change = CERTIFICATES[name]
    assert agreed(with_certificate(change).encode()) == holds


def test_exactly_two_thirds_are_not_enough() -> None:
    """Three validators are left from block 5 on; two of them are two thirds."""
    made = chain()
    finality = made.finality[6]
    certificate = decode_certificate(finality.certificate)
    assert len(certificate.signatures) == 3
    thin = encode_certificate(replace(certificate, signatures=certificate.signatures[:2]))
    steps = (made.changes()[0], replace(finality, certificate=thin))
    proof = proofs()["late transaction"]
    assert agreed(
        FollowedProof((*made.changes()[:1], finality, *proof.steps[1:]), proof.proof).encode()
    )
    assert not agreed(FollowedProof((*steps, *proof.steps[1:]), proof.proof).encode())


def test_a_receipt_of_another_transaction_of_the_block_is_refused() -> None:
    one, other = chain().transaction_proof(1, 0), chain().transaction_proof(1, 1)
    mixed = replace(one, receipt=other.receipt, receipt_path=other.receipt_path)
    assert agreed(FollowedProof((), one).encode())
    assert not agreed(FollowedProof((), mixed).encode())


def test_nobody_is_denied_by_its_own_leaf() -> None:
    proof = proofs()["account"]
    value = proof.proof.value
    assert value is not None
    own = key_hash(proof.proof.key) + value_hash(value)
    denied = replace(proof.proof, value=None, state=replace(proof.proof.state, other_leaf=own))
    assert not agreed(replace(proof, proof=denied).encode())


def test_steps_that_skip_repeat_or_go_back_are_refused() -> None:
    made, proof = chain(), proofs()["account"]
    first, second = made.changes()
    for steps in ((), (first,), (second,), (second, first), (first, first, second)):
        assert not agreed(FollowedProof(steps, proof.proof).encode()), len(steps)
    old = made.transaction_proof(1)
    assert not agreed(FollowedProof((made.finality[2],), old).encode())


def test_validators_of_the_last_epoch_decide_nothing() -> None:
    made = chain()
    first = made.finality[1].validators
    late = made.finality[12]
    forged = replace(proofs()["account"].proof, finality=replace(late, validators=first))
    assert not agreed(FollowedProof((), forged).encode())


def test_another_network_is_refused() -> None:
    data = proofs()["early transaction"].encode()
    trust = trusts()[0]
    assert not says(data, trust._replace(genesis=bytes(32)))
    assert not says(data, trust._replace(validators=bytes(32)))


def test_one_trusted_block_is_enough() -> None:
    made = chain()
    proof = proofs()["account"].proof
    for height in (5, 7, 9):
        block = made.blocks[height]
        begin = Finality(block.header.encode(), b"", b"")
        later = tuple(
            step
            for step in made.changes()
            if step in (made.finality[each] for each in range(height + 1, 13))
        )
        data = FollowedProof((begin, *later), proof).encode()
        for trusted, holds in (
            ((height, block.block_id), True),
            ((height, bytes(32)), False),
            ((height + 1, block.block_id), False),
            ((height + 1, made.blocks[height + 1].block_id), False),
        ):
            assert says(data, alone.Trust(b"", b"", *trusted)) == holds
            assert verify_proof(data, TrustedBlock(*trusted)) == holds
    last = made.blocks[12]
    data = FollowedProof((), proof).encode()
    assert says(data, alone.Trust(b"", b"", 12, last.block_id))
    assert verify_proof(data, TrustedBlock(12, last.block_id))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.binary(max_size=300)
        | st.text(max_size=70),
        lambda inner: st.lists(inner, max_size=18) | st.tuples(inner),
        max_leaves=30,
    )
)
def test_its_encoding_is_the_chains(value: object) -> None:
    data = encode(value)  # type: ignore[arg-type]
    assert alone.encode(alone.decode(data)) == data


@given(st.binary(max_size=40))
def test_it_reads_no_bytes_that_the_chain_refuses(data: bytes) -> None:
    try:
        decode(data, max_bytes=64)
        expected = True
    except BitenergyError:
        expected = False
    try:
        alone.decode(data)
        found = True
    except alone.Refused:
        found = False
    assert found == expected


STAKES = {"V1": "100", "V2": "99.999999", "V3": "7.5", "V4": "1"}


@pytest.mark.parametrize(
    ("engine", "section"),
    [
        ("poa", {}),
        ("poa", {"token": "money", "stakes": STAKES, "min_stake": "50", "max_validators": 1}),
        ("pos", {"token": "money", "stakes": STAKES}),
        ("pos", {"token": "incentives", "stakes": STAKES | {"V2": "100"}, "max_validators": 2}),
        ("pos", {"token": "money", "stakes": STAKES | {"P1": "9000"}, "min_stake": "7.500000"}),
        ("pos", {"token": "money", "stakes": {"V3": "0.000001", "V4": "3"}}),
    ],
)
def test_it_works_out_the_first_validators_of_any_genesis(
    tmp_path: Path, engine: str, section: dict[str, object]
) -> None:
    document = DOCUMENT | {
        "engine": {"name": engine, "parameters": {}},
        "modules": {"staking": section} if section else {},
    }
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(document))
    genesis = decode_genesis(path.read_bytes())
    expected = alone.Trust(genesis.digest, first_validators(genesis), 1)
    assert alone.read_trust(str(path)) == expected


@pytest.fixture
def far_away(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The file copied alone beside libsodium's binding, run where bitenergy cannot be imported."""
    (tmp_path / "verify_proof.py").write_bytes(FILE.read_bytes())
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in ("nacl", "cffi", "_cffi_backend"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        where = Path(spec.origin)
        where = where.parent if where.name == "__init__.py" else where
        (libraries / where.name).symlink_to(where)
    start = (
        "import sys, runpy, importlib.util as u; sys.path.append('libraries')\n"
        "assert not any(map(u.find_spec, ('vm', 'node', 'tools', 'msgpack')))\n"
        "sys.argv = ['verify_proof.py', *sys.argv[1:]]\n"
        "runpy.run_path('verify_proof.py', run_name='__main__')"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", start, *arguments],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_alone_in_a_folder_it_says_yes_and_no(
    far_away: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "genesis.json").write_bytes(GENESIS)
    data = proofs()["account"].encode()
    (tmp_path / "good").write_bytes(data)
    (tmp_path / "bad").write_bytes(data.replace(id_of("P2"), id_of("P1")))
    found = far_away("genesis.json", "good")
    assert (found.returncode, found.stderr) == (0, "")
    yes, _, told = found.stdout.partition("\n")
    assert yes == "yes"
    assert json.loads(told)["account"] == encode_address(id_of("P2"))
    found = far_away("genesis.json", "bad")
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout == "no: the way does not lead to the block's state root\n"
    block = chain().blocks[12]
    found = far_away(f"12:{block.block_id.hex()}", "good")
    assert found.returncode == 1
    (tmp_path / "short").write_bytes(FollowedProof((), proofs()["account"].proof).encode())
    assert far_away(f"12:{block.block_id.hex()}", "short").returncode == 0
    mined = DOCUMENT | {"engine": {"name": "pow", "parameters": {}}}
    (tmp_path / "mined.json").write_text(json.dumps(mined))
    assert "give HEIGHT:BLOCK_ID" in far_away("mined.json", "good").stdout
    for wrong in ((), ("genesis.json", "missing"), ("missing", "good"), ("good", "good")):
        assert far_away(*wrong).returncode in (1, 2)
        assert far_away(*wrong).stderr == ""
