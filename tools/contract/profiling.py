"""A runner that observes: gas by source line, and the line at which a call failed.

It takes the place of the interpreter's own loop, so that a node pays nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tools.contract.compiler import Artefact
from vm.contract.chain_operations import CALL
from vm.contract.code_format import decode_form
from vm.contract.code_object import Activation, Body, Function, Registers
from vm.contract.limits import GAS_BLOCK
from vm.contract.verifier import decode_instructions
from vm.primitives.errors import OutOfGas


@dataclass(frozen=True, slots=True)
class _Step:
    line: int
    gas: int


class LineProfile:
    """Observes the functions of one contract; pass it to `run_function` as its runner."""

    def __init__(self, artefact: Artefact) -> None:
        self.gas_by_line: dict[int, int] = {}
        """Gas that each source line used, beside what functions of this contract used for it."""
        self.runs_by_line: dict[int, int] = {}
        """How often the instructions of each line began."""
        self.line = 0
        """The line of what ran last; where a call failed."""
        self._functions = artefact.code.functions
        forms = decode_form(artefact.raw).functions
        self._steps = [
            _steps_of(form.body, lines, self._functions)
            for form, lines in zip(forms, artefact.source_map, strict=True)
        ]
        self._inner = 0

    def __call__(self, body: Body, registers: Registers) -> object:
        """Run a function whose registers are filled."""
        activation: Activation = registers[0]
        meter = activation.meter
        steps = self._steps[body.number]
        places = {id(block): place for place, block in enumerate(body.blocks)}
        began = meter.gas_used
        block = body.blocks[0]
        while block is not None:
            gas, operators, end = block
            parts = steps[places[id(block)]]
            self.line = parts[0].line
            meter.gas_used += gas
            if meter.gas_used > meter.gas_limit:
                raise OutOfGas(meter.gas_limit)
            shown = 0
            for step, operator in zip(parts, operators, strict=False):
                self.line = step.line
                if step.line != shown:
                    shown = step.line
                    self.runs_by_line[shown] = self.runs_by_line.get(shown, 0) + 1
                before, inner = meter.gas_used, self._inner
                operator(registers)
                self.line = step.line
                own = meter.gas_used - before - (self._inner - inner)
                self._count(step.line, step.gas + own)
            self.line = parts[-1].line
            self._count(self.line, parts[-1].gas)
            block = end(registers)
        self._inner += meter.gas_used - began
        return registers[0]

    def _count(self, line: int, gas: int) -> None:
        self.gas_by_line[line] = self.gas_by_line.get(line, 0) + gas


def _steps_of(
    body: bytes, lines: tuple[int, ...], functions: tuple[Function, ...]
) -> list[list[_Step]]:
    """Return the line and the fixed gas of each instruction, block by block."""
    blocks: list[list[_Step]] = [[]]
    for (operation, operands), line in zip(decode_instructions(body), lines, strict=True):
        gas = operation.gas
        if operation.number == CALL:
            gas += functions[operands[1]].gas
        if not blocks[-1]:
            gas += GAS_BLOCK
        blocks[-1].append(_Step(line, gas))
        if operation.make_end is not None:
            blocks.append([])
    return blocks[:-1]
