"""What a light node is told: its configuration, its genesis, and where it begins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from node.config import ConfigError, load_config
from node.ledger.genesis import decode_genesis
from node.ledger.proof_paths import TrustedBlock
from node.light.app import run as run_light
from node.light.facts import FACTS_NAME, load_facts
from tests.node.network import genesis_document
from tools.cli import run
from tools.proofs import first_validators
from vm.primitives.errors import BitenergyError

DOCUMENT = genesis_document(("V0", "V1"), time_ms=1)


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_bytes(DOCUMENT)
    return path


def test_the_facts_of_genesis_are_worked_out_once(
    genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = load_facts(genesis, tmp_path)
    whole = decode_genesis(DOCUMENT)
    assert (facts.genesis, facts.chain, facts.engine) == (whole.digest, "test", "poa")
    assert (facts.roles, facts.validators) == (whole.roles, first_validators(whole))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it is known")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", never)
        assert load_facts(genesis, tmp_path) == facts
    path = tmp_path / FACTS_NAME
    path.write_bytes(path.read_bytes()[:-1])  # it follows from the file: made anew
    assert load_facts(genesis, tmp_path) == facts
    genesis.write_bytes(DOCUMENT.replace(b'"chain": "test"', b'"chain": "other"'))
    assert load_facts(genesis, tmp_path).chain == "other"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{}", "is no genesis file"),
        (b"no JSON", "is no genesis file"),
        (DOCUMENT.replace(b'"name": "poa"', b'"name": "depth"'), "commit certificates"),
    ],
)
def test_a_network_that_cannot_be_followed_is_refused(
    genesis: Path, tmp_path: Path, document: bytes, reason: str
) -> None:
    genesis.write_bytes(document)
    with pytest.raises(BitenergyError, match=reason):
        load_facts(genesis, tmp_path)
    genesis.unlink()
    with pytest.raises(BitenergyError, match="cannot be read"):
        load_facts(genesis, tmp_path)


def test_init_makes_the_folder_of_a_light_node(genesis: Path, tmp_path: Path) -> None:
    start = ["init", "--genesis", str(genesis), "--dir", str(tmp_path / "meter"), "--mode", "light"]
    assert run([*start, "--validator"]) == 2
    assert run([*start, "--trust", "7"]) == 1
    assert not (tmp_path / "meter").exists()
    assert run([*start, "--trust", "7:" + "ab" * 32]) == 0
    path = tmp_path / "meter" / "node.toml"
    config = load_config(path)
    assert (config.mode, config.trust) == ("light", TrustedBlock(7, b"\xab" * 32))
    text = path.read_text("utf-8")
    for old, new in (
        ('mode = "light"', 'mode = "tiny"'),
        ("trust = ", 'trust = "x"\n# '),
        ("[p2p]", 'vote = "keys/vote.json"\n[p2p]'),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        with pytest.raises(ConfigError):
            load_config(path)
        assert run(["node", "run", "--config", str(path)]) == 1


def test_it_answers_on_this_machine_only(genesis: Path, tmp_path: Path) -> None:
    folder = tmp_path / "meter"
    start = ["init", "--genesis", str(genesis), "--dir", str(folder), "--mode", "light"]
    assert run([*start, "--api", "0.0.0.0:8645"]) == 0
    assert run_light(load_config(folder / "node.toml")) == 1
    assert not (folder / "data").exists()
