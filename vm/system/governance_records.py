"""The leaves of governance: its settings, proposals with their tallies, and what is in force.

Keys, numbers big-endian:

    ys               settings, if genesis gives any
    yp number(8)     a proposal
    yv number(8) place(8)     a vote: account and choice, in the order of first votes
    yw number(8) account(20)  place of an account's vote
    yh height(8)     numbers of the proposals that change something from this height on
    yo               number and proposer of each proposal that is voted on or counted
    ye               engine in force, once one was voted for; from genesis on under pow
    ym               versions of the modules that are not 1

Votes are deleted as they are counted; a proposal stays with its tally as a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.overlay import StateReader
from vm.primitives.codec import Value, encode, encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation

SETTINGS_KEY: Final = b"ys"
PROPOSAL_SPACE: Final = b"yp"
VOTE_SPACE: Final = b"yv"
VOTER_SPACE: Final = b"yw"
HEIGHT_SPACE: Final = b"yh"
OPEN_KEY: Final = b"yo"
ENGINE_KEY: Final = b"ye"
VERSIONS_KEY: Final = b"ym"

SETTINGS_TYPE: Final = 70
PROPOSAL_TYPE: Final = 71
ENGINE_TYPE: Final = 72
VERSIONS_TYPE: Final = 73
VERSION: Final = 1

VOTING: Final = 0
COUNTING: Final = 1
PASSED: Final = 2
APPLIED: Final = 3
FAILED: Final = 4
EXPIRED: Final = 5
VOID: Final = 6
STATUS_NAMES: Final = ("voting", "counting", "passed", "applied", "failed", "expired", "void")

YES: Final = 0
NO: Final = 1
ABSTAIN: Final = 2
CHOICES: Final = ("yes", "no", "abstain")

PARAMETERS: Final = "parameters"
MODULE: Final = "module"
ENGINE: Final = "engine"

Pairs = tuple[tuple[str, Value], ...]
"""Names and values, in the order of the names."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Who votes with which weight, and what it takes."""

    weights: tuple[tuple[int, int], ...]
    """Bit of a role and the weight of a vote of a member with it; the highest counts."""
    quorum: tuple[int, int]
    """Part of all weight that must vote, as numerator and denominator."""
    threshold: tuple[int, int]
    """Part of the yes and no votes that must be yes, as numerator and denominator."""
    voting_period_ms: int
    """How long votes are taken."""
    notice_blocks: int
    """How many blocks a change is known at least before it is in force."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                SETTINGS_TYPE,
                VERSION,
                self.weights,
                self.quorum,
                self.threshold,
                self.voting_period_ms,
                self.notice_blocks,
            )
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What a proposal changes."""

    kind: str
    """PARAMETERS, MODULE or ENGINE."""
    name: str
    """The module (`chain` for the chain's own parameters), or the engine."""
    subject: str
    """What within the module, for example a market's name; empty for the module itself."""
    values: Pairs
    """New values by name; of a module's version one pair."""

    def fields(self) -> tuple[str, str, str, Pairs]:
        """Return the change as it stands in a leaf."""
        return self.kind, self.name, self.subject, self.values

    def size(self) -> int:
        """Return its length in bytes."""
        return len(encode(self.fields()))


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Proposal:
    """A working copy of a proposal's leaf; put its bytes back to make changes stand."""

    number: int
    """Its number, from 1."""
    proposer: bytes
    """Account that proposed it."""
    change: Change
    """What it changes."""
    height: int
    """First height at which the change is in force."""
    about: str
    """What it is for, in the proposer's words."""
    status: int
    """VOTING to VOID."""
    ends_ms: int
    """When voting ends, milliseconds UTC."""
    votes: int
    """How many accounts voted."""
    counted: int
    """How many of these votes are counted."""
    tally: tuple[int, int, int]
    """Weight of yes, no and abstain, as far as counted."""
    supporters: int
    """How many accounts are counted with yes."""
    eligible: int
    """Weight of all who might vote, when the count ended; 0 before."""
    result: str
    """Why it did not come into force: the code of a refusal; empty else."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                PROPOSAL_TYPE,
                VERSION,
                self.number,
                self.proposer,
                self.change.fields(),
                self.height,
                self.about,
                self.status,
                self.ends_ms,
                self.votes,
                self.counted,
                self.tally,
                self.supporters,
                self.eligible,
                self.result,
            )
        )


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine that was voted for."""

    name: str
    """Its name."""
    parameters: tuple[tuple[str, int], ...]
    """Its own numbers by name, ascending."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((ENGINE_TYPE, VERSION, self.name, self.parameters))


def proposal_key(number: int) -> bytes:
    """Return the key of a proposal."""
    return PROPOSAL_SPACE + number.to_bytes(8, "big")


def vote_key(number: int, place: int) -> bytes:
    """Return the key of the vote that was the `place`-th for a proposal, from 1."""
    return VOTE_SPACE + number.to_bytes(8, "big") + place.to_bytes(8, "big")


def voter_key(number: int, account: bytes) -> bytes:
    """Return the key at which the place of an account's vote stands."""
    return VOTER_SPACE + number.to_bytes(8, "big") + account


def height_key(height: int) -> bytes:
    """Return the key of what changes from `height` on."""
    return HEIGHT_SPACE + height.to_bytes(8, "big")


def decode_settings(data: bytes) -> Settings:
    """Return the settings of a leaf's bytes."""
    fields = _fields(data, SETTINGS_TYPE, 5)
    return Settings(*fields)  # type: ignore[arg-type]


def decode_proposal(data: bytes) -> Proposal:
    """Return the proposal of a leaf's bytes."""
    fields = _fields(data, PROPOSAL_TYPE, 13)
    change = fields[2]
    if not isinstance(change, tuple):
        raise InvariantViolation(f"a proposal changes something else: {data.hex()[:80]}")
    return Proposal(fields[0], fields[1], Change(*change), *fields[3:])  # type: ignore[arg-type]


def read_proposal(state: StateReader, number: int) -> Proposal | None:
    """Return a proposal without gas, for readers; None if there is none."""
    data = state.get(proposal_key(number))
    return None if data is None else decode_proposal(data)


def read_vote(state: StateReader, number: int, place: int) -> tuple[bytes, int] | None:
    """Return account and choice of a vote that is not counted yet; None if there is none."""
    data = state.get(vote_key(number, place))
    return None if data is None else decode_vote(data)


def decode_vote(data: bytes) -> tuple[bytes, int]:
    """Return account and choice of a vote's bytes."""
    match unpack_trusted(data):
        case (bytes(account), int(choice)):
            return account, choice
    raise InvariantViolation(f"not a vote: {data.hex()[:80]}")


def decode_numbers(data: bytes | None) -> tuple[int, ...]:
    """Return the numbers of proposals in a leaf at a height."""
    found = unpack_trusted(data) if data else ()
    return tuple(found)  # type: ignore[arg-type]


def read_engine(state: StateReader) -> EngineChoice | None:
    """Return the engine that decides the next block; None for the one that genesis names."""
    data = state.get(ENGINE_KEY)
    return None if data is None else decode_engine(data)


def decode_engine(data: bytes) -> EngineChoice:
    """Return the engine of a leaf's bytes."""
    name, parameters = _fields(data, ENGINE_TYPE, 2)
    return EngineChoice(name, parameters)  # type: ignore[arg-type]


def read_versions(state: StateReader) -> dict[str, int]:
    """Return the versions of the modules for the next block; those left out are 1."""
    return decode_versions(state.get(VERSIONS_KEY))


def decode_versions(data: bytes | None) -> dict[str, int]:
    """Return module versions of a leaf's bytes."""
    if data is None:
        return {}
    (pairs,) = _fields(data, VERSIONS_TYPE, 1)
    return dict(pairs)  # type: ignore[arg-type]


def encode_versions(versions: Mapping[str, int]) -> bytes:
    """Return the canonical bytes of module versions."""
    return encode_trusted((VERSIONS_TYPE, VERSION, tuple(sorted(versions.items()))))


def _fields(data: bytes, kind: int, count: int) -> tuple[Value, ...]:
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (kind, VERSION) or len(value) != count + 2:
        raise InvariantViolation(f"not a leaf of type {kind} of this version: {data.hex()[:80]}")
    return value[2:]
