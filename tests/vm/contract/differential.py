"""Generated contracts run by the interpreter and by the oracle, and held equal in everything.

`python -m tests.vm.contract.differential --programs 100000` is the campaign: it prints its
progress, and at its end one digest of all results and all gas, which is the same on every Python,
under every hash seed and with -O.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from collections import Counter
from typing import Any

from tests.vm.contract.generator import Program, generate
from tests.vm.contract.hosts import ALICE, HERE, MemoryChain
from tests.vm.contract.oracle import Failed, Map, Oracle
from tools.contract.compiler import Artefact, compile_source
from tools.contract.source_error import SourceError
from vm.contract.value_types import ValueType
from vm.contract.wire import int_out, wire_of
from vm.primitives.codec import Encodable, encode
from vm.primitives.errors import CallError

GAS = 50_000_000
LIMITS = ("out_of_gas", "out_of_memory")
"""Failures that the oracle does not know; what it does then is not compared."""


class Difference(Exception):
    """A program of which interpreter and oracle think differently."""


class Campaign:
    """Counts and hashes what programs do."""

    def __init__(self, *, compare: bool) -> None:
        self.compare = compare
        self.digest = hashlib.sha256()
        self.outcomes: Counter[str] = Counter()
        self.instructions = 0

    def run(self, seed: int) -> None:
        """Run the program of a seed; raises Difference."""
        program = generate(seed)
        try:
            artefact = compile_source(program.source, {})
        except SourceError as error:
            # Constants that overflow: the compiler says so at once.
            self.outcomes["refused"] += 1
            self.digest.update(f"{error.line}".encode())
            return
        self.digest.update(artefact.raw)
        self._run(seed, program, artefact)

    def _run(self, seed: int, program: Program, artefact: Artefact) -> None:
        chain = MemoryChain({HERE: artefact.code})
        oracle = (
            Oracle(program.source, ALICE, HERE, chain.height, chain.time_ms)
            if self.compare
            else None
        )
        for arguments in program.calls:
            outcome, gas = self._call(chain, artefact, arguments)
            code = outcome[0]
            self.outcomes[str(code)] += 1
            self.digest.update(encode((*outcome, gas)))
            if code in LIMITS:
                return
            if oracle is not None:
                expected = ask(oracle, arguments, artefact.code.entries["main"].result)
                if outcome != expected:
                    raise Difference(
                        f"seed {seed}: {arguments} gives {outcome}, the oracle {expected}"
                    )
                compare_state(seed, chain, oracle)

    @staticmethod
    def _call(
        chain: MemoryChain, artefact: Artefact, arguments: tuple[Any, ...]
    ) -> tuple[tuple[Encodable, ...], int]:
        try:
            result = chain.call("main", *arguments, gas=GAS)
        except CallError as error:
            message = error.message if error.code == "requirement_failed" else ""
            return (error.code, message), chain.gas_used
        return ("done", result), chain.gas_used


def ask(oracle: Oracle, arguments: tuple[Any, ...], kind: ValueType) -> tuple[Encodable, ...]:
    """Return what the oracle says of a call."""
    try:
        result = oracle.call(*[list(a) if type(a) is tuple else a for a in arguments])
    except Failed as error:
        return error.code, error.message
    return "done", wire_of(kind).copy_out(result)


def compare_state(seed: int, chain: MemoryChain, oracle: Oracle) -> None:
    """Hold storage and events equal; raises Difference."""
    events = [values for _, _, values in chain.events]
    expected = [tuple(_plain(value) for value in values) for values in oracle.events]
    if events != expected:
        raise Difference(f"seed {seed}: events {events}, the oracle {expected}")
    slots = chain.codes[HERE].slots
    wanted: dict[tuple[bytes, bytes], bytes] = {}
    defaults = {"count": 0, "words": "", "held": []}
    for number, slot in enumerate(slots):
        out = wire_of(slot.value).copy_out
        held = oracle.storage.cells_[slot.name]
        if isinstance(held, Map):
            assert slot.key is not None
            key_out = wire_of(slot.key).copy_out
            for key, value in held.entries.items():
                wanted[HERE, bytes([number]) + encode(key_out(key))] = encode(out(value))
        elif held != defaults[slot.name] or (HERE, bytes([number])) in chain.stored:
            wanted[HERE, bytes([number])] = encode(out(held))
    if chain.stored != wanted:
        raise Difference(f"seed {seed}: storage {chain.stored}, the oracle {wanted}")


def _plain(value: Any) -> Encodable:
    if type(value) is int:
        return int_out(value)
    return bytes(value) if isinstance(value, bytes) else value


def main(arguments: list[str]) -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--no-oracle", action="store_true", help="only results, gas and digest")
    options = parser.parse_args(arguments)
    campaign, began, shown = Campaign(compare=not options.no_oracle), time.monotonic(), 0.0
    for number in range(options.programs):
        campaign.run(options.first + number)
        now = time.monotonic()
        if now - shown >= 10:
            shown = now
            print(f"{number + 1} of {options.programs}, {now - began:.0f} s", flush=True)
    print(f"programs {options.programs} from seed {options.first}, differences 0")
    print(f"outcomes {dict(sorted(campaign.outcomes.items()))}")
    print(f"python {platform.python_implementation()} {platform.python_version()}")
    print(f"digest {campaign.digest.hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
