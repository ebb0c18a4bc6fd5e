"""The program that writes the frozen vectors: `python -m tests.vectors.generate [--check]`.

The inputs are made by the `*_inputs` modules; what the code makes of them is frozen in JSON files
beside this one. A changed file means changed bytes, roots or refusals: a new protocol version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vectors import (
    certificate_inputs,
    chain_inputs,
    chain_kinds,
    contract_inputs,
    day_inputs,
    format_inputs,
    genesis_inputs,
    governance_inputs,
    kinds,
    leaving_inputs,
    level_inputs,
    meter_inputs,
    primitive_inputs,
)
from tests.vectors.kinds import Json, Run
from tests.vectors.primitive_inputs import Inputs
from vm.primitives.errors import BitenergyError

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Kind:
    """One file of vectors."""

    about: str
    """What the file is about, for its readers."""
    inputs: Callable[[], Inputs]
    """Makes the inputs."""
    run: Run
    """Makes an output of an input, or refuses it."""


KINDS: dict[str, Kind] = {
    "day_calendar": Kind(
        "local days of a day market", day_inputs.calendar_inputs, day_inputs.run_calendar
    ),
    "bill_lines": Kind("lines of a bill", day_inputs.bill_inputs, day_inputs.run_bill),
    "day_leaving": Kind(
        "members that leave a day market: what it tells, and its leaves of them",
        leaving_inputs.leaving_inputs,
        leaving_inputs.run_leaving,
    ),
    "codec": Kind("canonical MessagePack", primitive_inputs.codec_inputs, kinds.run_codec),
    "integers": Kind(
        "big integers and rounding", primitive_inputs.integer_inputs, kinds.run_integers
    ),
    "hashing": Kind("tagged hashes", primitive_inputs.hashing_inputs, kinds.run_hashing),
    "merkle": Kind("Merkle trees over lists", primitive_inputs.merkle_inputs, kinds.run_merkle),
    "signatures": Kind(
        "Ed25519, strict keys", primitive_inputs.signature_inputs, kinds.run_signatures
    ),
    "addresses": Kind("addresses and names", primitive_inputs.address_inputs, kinds.run_addresses),
    "decimals": Kind("decimal text", primitive_inputs.decimal_inputs, kinds.run_decimals),
    "transactions": Kind(
        "transactions: form and signature", format_inputs.transaction_inputs, kinds.run_transactions
    ),
    "headers": Kind("headers", format_inputs.header_inputs, kinds.run_headers),
    "bodies": Kind("bodies of blocks", format_inputs.body_inputs, kinds.run_bodies),
    "votes": Kind(
        "votes, proposals, commit certificates, evidence",
        format_inputs.vote_inputs,
        kinds.run_votes,
    ),
    "validators": Kind("sets of validators", format_inputs.validator_inputs, kinds.run_validators),
    "parameters": Kind("parameters", format_inputs.parameter_inputs, kinds.run_parameters),
    "receipts": Kind("receipts", format_inputs.receipt_inputs, kinds.run_receipts),
    "state_roots": Kind(
        "roots of the state tree", chain_inputs.state_root_inputs, kinds.run_state_roots
    ),
    "state_proofs": Kind(
        "proofs in the state tree", chain_inputs.state_proof_inputs, kinds.run_state_proofs
    ),
    "proofs": Kind("account and transaction proofs", chain_inputs.proof_inputs, kinds.run_proofs),
    "genesis": Kind("genesis files", genesis_inputs.genesis_inputs, chain_kinds.run_genesis),
    "blocks": Kind(
        "blocks from state to state; no state after: must be refused",
        chain_inputs.block_inputs,
        chain_kinds.run_blocks,
    ),
    "contract_code": Kind(
        "the form of contract code",
        contract_inputs.contract_code_inputs,
        contract_inputs.run_contract_code,
    ),
    "contract_calls": Kind(
        "calls of contracts: result, gas, storage, events",
        contract_inputs.contract_call_inputs,
        contract_inputs.run_contract_calls,
    ),
    "certificates": Kind(
        "certificates of renewable energy: what the module tells, and its leaves",
        certificate_inputs.certificate_inputs,
        certificate_inputs.run_certificates,
    ),
    "levels": Kind(
        "the level of a storage from one dispatch round to the next",
        level_inputs.level_inputs,
        level_inputs.run_levels,
    ),
    "meters": Kind(
        "registers of a meter: energies, estimates and corrections",
        meter_inputs.meter_inputs,
        meter_inputs.run_meters,
    ),
    "governance": Kind(
        "proposals, votes, counts and changes that come into force, from state to state",
        governance_inputs.governance_inputs,
        chain_kinds.run_governed_blocks,
    ),
}


def outcome(run: Run, case: dict[str, Json]) -> dict[str, Json]:
    """Return what the code makes of a case: its output, or the code of its refusal."""
    try:
        return {"output": run(case)}
    except BitenergyError as error:
        return {"refused": error.code}


def make(name: str) -> str:
    """Return the text of a file of vectors; raises LookupError where the code surprises."""
    kind = KINDS[name]
    accepted, refused = kind.inputs()
    cases: dict[str, list[Json]] = {"accepted": [], "refused": []}
    for wanted, inputs, field in (
        ("accepted", accepted, "output"),
        ("refused", refused, "refused"),
    ):
        for number, case in enumerate(inputs):
            label = case.get("name", f"{wanted} {number}")
            found = outcome(kind.run, case)
            if field not in found:
                raise LookupError(f"{name}: {label} should be {wanted}, but: {found}")
            inner = {key: value for key, value in case.items() if key != "name"}
            cases[wanted].append({"name": label, "input": inner} | found)
    return json.dumps({"about": kind.about} | cases, indent=1, ensure_ascii=True) + "\n"


def path_of(name: str) -> Path:
    """Return the frozen file of a kind."""
    return FOLDER / f"{name}.json"


def differences() -> Iterator[str]:
    """Yield the names of the kinds whose frozen file is not what the code makes now."""
    for name in KINDS:
        path = path_of(name)
        if not path.exists() or path.read_text(encoding="ascii") != make(name):
            yield name


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` only say which would change."""
    if arguments == ["--check"]:
        changed = list(differences())
        print(f"changed: {', '.join(changed)}" if changed else "all vectors are as frozen")
        return 1 if changed else 0
    if arguments:
        print("usage: python -m tests.vectors.generate [--check]", file=sys.stderr)
        return 2
    for name in KINDS:
        path_of(name).write_text(make(name), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
