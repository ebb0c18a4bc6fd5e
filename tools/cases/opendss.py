"""Reader of OpenDSS scripts, through the public package dss-python, which runs them.

Read are lines, two-winding transformers, loads, and the source of the circuit, phases taken
together: the model is a single-line one.
"""

from __future__ import annotations

import importlib
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from tools.cases.case import Case
from tools.cases.grid import CaseBuilder
from vm.primitives.errors import InvalidInput

MW_PER_KW = Decimal(1) / 1_000
SQRT_3 = Decimal(3).sqrt()
SOURCE_MW = Decimal(1_000)
"""What the grid above can give or take, where the script does not say."""
SOURCE_COST = Decimal(100)
"""Its price, per MWh, so that the case has one to begin with."""


class _Elements(Protocol):
    """A collection of dss-python: iterating it activates one element after the other."""

    Name: str

    def __iter__(self) -> object:
        """Activate each element."""


def read_opendss(path: Path) -> Case:
    """Return the case of a master script; raises InvalidInput without dss-python, or on a fault."""
    try:
        engine = importlib.import_module("dss").DSS
    except ImportError as error:
        raise InvalidInput(
            "OpenDSS scripts are read through the package dss-python, which is not installed",
            code="missing_reader",
            hint="Install it in the clone, with: pip install .[cases]",
        ) from error
    try:
        engine.ClearAll()
        engine.Text.Command = f'compile "{path.resolve()}"'
        engine.ActiveCircuit.Solution.Solve()
    except Exception as error:  # the engine's own errors, whatever their class
        raise InvalidInput(
            f"OpenDSS refuses {path}", code="invalid_case", actual=str(error)[:200]
        ) from error
    return _read_circuit(engine.ActiveCircuit)


def _read_circuit(circuit: object) -> Case:
    case = CaseBuilder(str(circuit.Name))  # type: ignore[attr-defined]
    names: dict[str, str] = {}

    def bus(text: str) -> str:
        key = text.partition(".")[0].lower()
        if key not in names:
            names[key] = case.add_bus(key)
        return names[key]

    case.note("Phases are taken together; reactances are of the positive sequence.")
    sources = circuit.Vsources  # type: ignore[attr-defined]
    for _ in sources:
        element = circuit.ActiveCktElement  # type: ignore[attr-defined]
        case.slack = case.slack or bus(element.BusNames[0])
    for line in circuit.Lines:  # type: ignore[attr-defined]
        base = _base_impedance(circuit, line.Bus1)
        reactance = _decimal(line.X1) * _decimal(line.Length) / base
        voltage = _line_voltage(circuit, line.Bus1)
        rating = _decimal(line.NormAmps) * voltage * SQRT_3 / 1_000
        case.add_line(bus(line.Bus1), bus(line.Bus2), reactance_pu=reactance, rating_mw=rating)
    for transformer in circuit.Transformers:  # type: ignore[attr-defined]
        ends = circuit.ActiveCktElement.BusNames  # type: ignore[attr-defined]
        rated = _decimal(transformer.kVA) * MW_PER_KW
        reactance = _decimal(transformer.Xhl) / 100 / rated
        case.add_line(bus(ends[0]), bus(ends[1]), reactance_pu=reactance, rating_mw=rated)
    for load in circuit.Loads:  # type: ignore[attr-defined]
        at = bus(circuit.ActiveCktElement.BusNames[0])  # type: ignore[attr-defined]
        case.add_load(f"load.{load.Name}", at, _decimal(load.kW) * MW_PER_KW)
    case.add_unit("source", case.slack, low_mw=-SOURCE_MW, high_mw=SOURCE_MW, cost=SOURCE_COST)
    case.note("The source sells at 100 per MWh: OpenDSS has no costs.")
    return case.finish()


def _line_voltage(circuit: object, bus: str) -> Decimal:
    """Return the voltage between lines at a bus, kV."""
    circuit.SetActiveBus(bus.partition(".")[0])  # type: ignore[attr-defined]
    found = _decimal(circuit.ActiveBus.kVBase)  # type: ignore[attr-defined]
    return (found or Decimal(1)) * SQRT_3


def _base_impedance(circuit: object, bus: str) -> Decimal:
    """Return the base impedance at a bus for 1 MVA, ohm."""
    return _line_voltage(circuit, bus) ** 2


def _decimal(value: object) -> Decimal:
    return Decimal(repr(float(str(value)))).quantize(Decimal(1).scaleb(-12))
