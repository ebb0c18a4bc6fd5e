"""Green Button files (ESPI XML, NAESB REQ.21): interval energies as utilities hand them out.

Read are `IntervalReading`s in Wh (`uom` 72) with their `ReadingType`: `flowDirection` 1 is
withdrawn, 19 injected, `powerOfTenMultiplier` scales. A reading type belongs to the blocks of the
meter reading that links to both; where a file has one type, it is that of all blocks. The parser
takes no document type and thereby no entities, and everything that it takes is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from tools.obis_file import FileError, wrong
from vm.primitives.integers import MAX_AMOUNT

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
ENCODINGS: Final = ("utf-8", "utf-16", "iso-8859-1", "us-ascii")
"""Those that the parser reads itself; others it would look up among all of Python's codecs."""
MAX_DEPTH: Final = 32
MAX_TEXT: Final = 64
MAX_READINGS: Final = 500_000
MAX_ENTRIES: Final = 100_000
"""Entries of a file: blocks of a day each for centuries, with what they link to."""
WATT_HOURS: Final = "72"
DIRECTIONS: Final = {"1": "withdrawn", "19": "injected"}
_MILLI_DIGITS: Final = 3
_MAX_MULTIPLIER: Final = 9
_FIELDS: Final = ("flowDirection", "powerOfTenMultiplier", "uom", "accumulationBehaviour")
_DELTAS: Final = (None, "4", "0")
"""Kinds of values that are energies of an interval; registers are read from OBIS files."""


@dataclass(frozen=True, slots=True)
class IntervalEnergy:
    """What flowed one way in an interval."""

    line: int
    """Where it stands in its file."""
    start_ms: int
    """Its beginning, milliseconds UTC."""
    duration_ms: int
    """Its length."""
    direction: str
    """`injected` or `withdrawn`."""
    energy_milli_wh: int
    """The energy."""


@dataclass(slots=True)
class _Raw:
    line: int
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Entry:
    """An Atom entry: its links, and what of it counts."""

    own: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)
    kind: str = ""
    type_fields: dict[str, str] = field(default_factory=dict)
    readings: list[_Raw] = field(default_factory=list)


class _Reader:
    """Collects entries while the parser goes through the file."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = [_Entry()]
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.XmlDeclHandler = self._validate_encoding
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._path: list[str] = []
        self._characters = ""
        self._count = 0

    def read(self, data: bytes) -> list[_Entry]:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            words = expat.ErrorString(error.code)
            raise wrong(error.lineno, "is not well-formed XML", "a Green Button file", words) from (
                error
            )
        return self.entries

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _validate_encoding(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ENCODINGS:
            raise wrong(self._line, "is in another encoding", " or ".join(ENCODINGS), encoding)

    def _refuse_doctype(self, *_: object) -> None:
        raise wrong(self._line, "declares a document type", "none: entities are not read", "")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._path.append(local)
        if len(self._path) > MAX_DEPTH:
            raise wrong(self._line, "nests too deeply", f"at most {MAX_DEPTH} levels", "")
        self._characters = ""
        entry = self.entries[-1]
        if local == "entry":
            if len(self.entries) > MAX_ENTRIES:
                raise wrong(self._line, "is one entry too many", MAX_ENTRIES, "")
            if "IntervalReading" in self._path:
                raise wrong(self._line, "begins an entry within a reading", "readings first", "")
            self.entries.append(_Entry())
        elif local in ("MeterReading", "ReadingType", "IntervalBlock"):
            entry.kind = local
        elif local == "link":
            self._take_link(entry, attributes)
        elif local == "IntervalReading":
            self._count += 1
            if self._count > MAX_READINGS:
                raise wrong(self._line, "is one reading too many", MAX_READINGS, "")
            entry.readings.append(_Raw(self._line))

    def _take_link(self, entry: _Entry, attributes: dict[str, str]) -> None:
        relation, target = attributes.get("rel", ""), attributes.get("href", "").rstrip("/")
        if relation == "self":
            entry.own = target
        elif relation == "up":
            entry.up = target
        elif relation == "related":
            entry.related.append(target)

    def _text(self, text: str) -> None:
        if len(self._characters) < MAX_TEXT:
            self._characters += text

    def _end(self, _: str) -> None:
        local = self._path.pop()
        entry, text = self.entries[-1], self._characters.strip()
        if "IntervalReading" in self._path and local in ("start", "duration", "value"):
            # A cost or quality beside the value has names of its own.
            entry.readings[-1].fields.setdefault(local, text)
        elif self._path[-1:] == ["ReadingType"] and local in _FIELDS:
            entry.type_fields[local] = text
        self._characters = ""


def read_green_button(data: bytes) -> list[IntervalEnergy]:
    """Return the energies of a file, in its order; raises FileError."""
    if len(data) > MAX_FILE_BYTES:
        raise FileError("the file is too long", expected=f"at most {MAX_FILE_BYTES} bytes")
    entries = _Reader().read(data)
    types = _Types(entries)
    found: list[IntervalEnergy] = []
    for entry in entries:
        if entry.readings:
            direction, digits = _meaning(types.of(entry), entry.readings[0].line)
            found += [_energy(raw, direction, digits) for raw in entry.readings]
    if not found:
        raise FileError("the file has no interval readings", expected="IntervalReading elements")
    return found


class _Types:
    """The reading types of a file, found by the links of meter readings; each is looked up once."""

    def __init__(self, entries: list[_Entry]) -> None:
        self._types = [entry for entry in entries if entry.kind == "ReadingType"]
        own = {entry.own: entry for entry in reversed(self._types) if entry.own}
        self._by_block: dict[str, dict[str, str]] = {}
        for entry in entries:
            if entry.kind == "MeterReading":
                kind = next((own[target] for target in entry.related if target in own), None)
                for target in entry.related if kind is not None else ():
                    self._by_block.setdefault(target, kind.type_fields)  # type: ignore[union-attr]

    def of(self, block: _Entry) -> dict[str, str]:
        """Return the reading type of a block: the only one, or that of its meter reading."""
        if len(self._types) == 1:
            return self._types[0].type_fields
        found = self._by_block.get(block.up) if block.up else None
        if found is None:
            line = block.readings[0].line
            raise wrong(line, "belongs to no reading type", "links from its meter reading", "")
        return found


def _meaning(fields: dict[str, str], line: int) -> tuple[str, int]:
    """Return the direction of a reading type, and the digits of its values in milliwatt-hours."""
    if fields.get("uom") != WATT_HOURS:
        raise wrong(line, "is not in Wh", f"uom {WATT_HOURS}", f"uom {fields.get('uom')}")
    if fields.get("accumulationBehaviour") not in _DELTAS:
        kind = fields.get("accumulationBehaviour")
        raise wrong(line, "is no energy of an interval", "accumulationBehaviour 4", kind)
    direction = DIRECTIONS.get(fields.get("flowDirection", ""))
    if direction is None:
        expected = "flowDirection 1 (withdrawn) or 19 (injected)"
        raise wrong(line, "has no known direction", expected, fields.get("flowDirection"))
    text = fields.get("powerOfTenMultiplier", "0")
    digits = _whole(text, line, "multiplier", signed=True)
    if abs(digits) > _MAX_MULTIPLIER:
        raise wrong(line, "has an unknown multiplier", "-9 to 9", text)
    return direction, digits + _MILLI_DIGITS


def _energy(raw: _Raw, direction: str, digits: int) -> IntervalEnergy:
    for name in ("start", "duration", "value"):
        if name not in raw.fields:
            raise wrong(raw.line, f"begins a reading without {name}", "start, duration, value", "")
    start, duration, value = [
        _whole(raw.fields[name], raw.line, name) for name in ("start", "duration", "value")
    ]
    energy, rest = value * 10 ** max(0, digits), 0
    if digits < 0:
        energy, rest = divmod(value, 10**-digits)
    if rest or energy > MAX_AMOUNT:
        raise wrong(raw.line, "has a value that no milliwatt-hours hold", "whole mWh", value)
    return IntervalEnergy(raw.line, start * 1_000, duration * 1_000, direction, energy)


def _whole(text: str, line: int, what: str, *, signed: bool = False) -> int:
    digits = text[1:] if signed and text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise wrong(line, f"has no whole {what}", "a whole number", text)
    return int(text)
