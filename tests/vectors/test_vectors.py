"""The code does to every frozen input what the frozen file says, and makes the same files anew."""

import json
import os
import subprocess
import sys

import pytest

from tests.vectors.generate import FOLDER, KINDS, make, outcome, path_of
from tests.vectors.kinds import Json

LEAST_CASES = 900
"""A file that was emptied or not read must not pass for a pass."""


def load(name: str) -> dict[str, Json]:
    """Return a frozen file."""
    document = json.loads(path_of(name).read_text(encoding="ascii"))
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("name", KINDS)
def test_frozen_inputs_are_accepted_and_refused_as_written(name: str) -> None:
    document = load(name)
    for case in document["accepted"]:
        assert outcome(KINDS[name].run, case["input"]) == {"output": case["output"]}, case["name"]
    for case in document["refused"]:
        assert outcome(KINDS[name].run, case["input"]) == {"refused": case["refused"]}, case["name"]


@pytest.mark.parametrize("name", KINDS)
def test_generator_writes_the_frozen_file(name: str) -> None:
    assert make(name) == path_of(name).read_text(encoding="ascii"), (
        "the bytes of the protocol changed; if that is meant, it is a new version: "
        "python -m tests.vectors.generate"
    )


def test_half_of_the_vectors_must_be_refused() -> None:
    counts = {name: (len(load(name)["accepted"]), len(load(name)["refused"])) for name in KINDS}
    accepted = sum(good for good, _ in counts.values())
    refused = sum(bad for _, bad in counts.values())
    print(f"vectors: {accepted} accepted, {refused} refused")
    assert refused >= accepted
    assert accepted + refused >= LEAST_CASES
    assert all(good for good, _ in counts.values())
    without = {name for name, (_, bad) in counts.items() if not bad}
    assert without == {"hashing", "state_roots"}, "these two refuse nothing; everything else does"


def test_every_file_belongs_to_a_kind() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(KINDS)


def test_names_are_given_once_per_file() -> None:
    for name in KINDS:
        document = load(name)
        for part in ("accepted", "refused"):
            names = [case["name"] for case in document[part]]
            assert len(set(names)) == len(names), f"{name}, {part}"


@pytest.mark.parametrize(
    ("options", "hash_seed"),
    [(["-O"], "1"), (["-OO"], "2"), (["-X", "int_max_str_digits=640"], "12345")],
)
def test_the_interpreters_settings_play_no_part(options: list[str], hash_seed: str) -> None:
    """Roots, ids and refusals are the same on a validator that runs Python another way."""
    done = subprocess.run(
        [sys.executable, *options, "-m", "tests.vectors.generate", "--check"],
        check=False,
        cwd=FOLDER.parents[1],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "all vectors are as frozen\n"), done.stderr[-2000:]
