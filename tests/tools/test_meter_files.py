"""Files of readings: OBIS registers and Green Button, what they come to, and errors by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.green_button import read_green_button
from tools.meter_import import Batch, Known, batches_of_file
from tools.obis_file import FileError, read_registers

QUARTER_MS = 900_000
KWH = 1_000_000
BEGIN_MS = 1_772_323_200_000
"""2026-03-01T00:00:00Z."""
FIRST = BEGIN_MS // QUARTER_MS
KNOWN = Known(QUARTER_MS, 15, FIRST, (5 * KWH, 700 * KWH), 0)
READOUT = """/MET5 made by nobody
0-0:1.0.0*255(2026-03-01T00:15:00Z)
0-0:96.1.1*255(7)
1-0:1.8.0*255(000700.250*kWh)
1-0:2.8.0*255(5001*Wh)

0-0:1.0.0(260301013000W)
1-0:2.8.0(000005.500*kWh)
1-0:1.8.0*255(000701.0*kWh)
!
"""
TABLE = f"""time,1-0:1.8.0*255,1-0:2.8.0*255
2026-03-01T01:15:00+01:00,700.25,5.001
{BEGIN_MS + 2 * QUARTER_MS},701,5.5
"""
NAMESPACES = 'xmlns="http://www.w3.org/2005/Atom" xmlns:e="http://naesb.org/espi"'


def green(*parts: str) -> bytes:
    return f"<feed {NAMESPACES}>{''.join(parts)}</feed>".encode()


def kind(
    direction: int = 1, *, multiplier: int = 0, uom: int = 72, own: str = "type", more: str = ""
) -> str:
    return (
        f'<entry><link rel="self" href="{own}"/><content><e:ReadingType>'
        f"<e:flowDirection>{direction}</e:flowDirection>"
        f"<e:powerOfTenMultiplier>{multiplier}</e:powerOfTenMultiplier>"
        f"<e:uom>{uom}</e:uom>{more}</e:ReadingType></content></entry>"
    )


def block(*values: int, up: str = "", first: int = 0, duration: int = 900) -> str:
    readings = "".join(
        "<e:IntervalReading><e:cost>3</e:cost><e:timePeriod>"
        f"<e:duration>{duration}</e:duration>"
        f"<e:start>{BEGIN_MS // 1_000 + (first + place) * 900}</e:start>"
        f"</e:timePeriod><e:value>{value}</e:value></e:IntervalReading>\n"
        for place, value in enumerate(values)
    )
    return (
        f'<entry><link rel="up" href="{up}"/><content><e:IntervalBlock>'
        f"<e:interval><e:duration>1</e:duration><e:start>1</e:start></e:interval>{readings}"
        "</e:IntervalBlock></content></entry>"
    )


def meter_reading(type_link: str, blocks: str) -> str:
    return (
        "<entry><content><e:MeterReading/></content>"
        f'<link rel="related" href="{type_link}"/><link rel="related" href="{blocks}"/></entry>'
    )


@pytest.mark.parametrize("text", [READOUT, TABLE, TABLE.replace(",", ";"), "\ufeff" + TABLE])
def test_registers_are_read_from_readouts_and_tables(text: str) -> None:
    found = [
        (each.time_ms, each.injected_milli_wh, each.withdrawn_milli_wh)
        for each in read_registers(text.encode())
    ]
    assert found == [
        (BEGIN_MS + QUARTER_MS, 5_001_000, 700_250_000),
        (BEGIN_MS + 2 * QUARTER_MS, 5_500_000, 701_000_000),
    ]
    batches, passed = batches_of_file(text.encode(), KNOWN)
    assert batches == [Batch(FIRST, ((5_001_000, 700_250_000), (5_500_000, 701_000_000)))]
    assert passed == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no readings"),
        ("hello", "line 1 is no register"),
        ("\n1-0:1.8.0*255(1*kWh)", "line 2 comes before any time"),
        (READOUT.replace("(000005.500*kWh)", "(5.5*kW)"), "line 8 has an unknown unit"),
        (READOUT.replace("(000005.500*kWh)", "(5,5*kWh)"), "line 8 states no energy"),
        (READOUT.replace("(000005.500*kWh)", "(-5*kWh)"), "line 8 states"),
        (READOUT.replace("(000005.500*kWh)", "(0.0000001*kWh)"), "line 8 states no energy"),
        (READOUT.replace("000005.500", "9" * 30), "line 8 states"),
        (READOUT.replace("260301013000W", "260332013000W"), "line 7 states no time"),
        (READOUT.replace("260301013000W", "2026-03-01T00:30:00"), "without its offset"),
        (READOUT.replace("260301013000W", "260301010000W"), "line 7 is not later"),
        (READOUT.replace("1-0:2.8.0(", "1-0:1.8.0("), "line 9 states a register twice"),
        (READOUT.replace("1-0:2.8.0(", "1-0:3.8.0("), "line 7 begins a reading without both"),
        (TABLE.replace("2.8.0", "3.8.0"), "line 1 is no head"),
        (TABLE.replace(",701", ""), "line 3 has another number of cells"),
        (TABLE.replace(",701", ",x"), "line 3 states no energy"),
        ("1" * 300, "line 1 is too long"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(FileError) as refusal:
        read_registers(text.encode())
    assert words in str(refusal.value)


def test_registers_between_the_ends_of_intervals_are_refused() -> None:
    with pytest.raises(FileError) as refusal:
        batches_of_file(READOUT.replace("00:15:00Z", "00:14:59Z").encode(), KNOWN)
    assert "line 2 is not at the end of an interval" in str(refusal.value)


def test_registers_may_have_gaps_and_what_is_known_is_passed_over() -> None:
    rows = [
        f"{BEGIN_MS + place * QUARTER_MS},{place + 1},{place + 1}" for place in (-1, 0, 1, 2, 5, 6)
    ]
    text = "\n".join(["time,1-0:1.8.0,1-0:2.8.0", *rows])
    batches, passed = batches_of_file(text.encode(), KNOWN)
    assert [(each.first_interval - FIRST, len(each.registers)) for each in batches] == [
        (0, 2),
        (4, 2),
    ]
    assert passed == 2
    rows = [f"{BEGIN_MS + place * QUARTER_MS},{place},{place}" for place in range(1, 201)]
    batches, _ = batches_of_file("\n".join(["time,1-0:1.8.0,1-0:2.8.0", *rows]).encode(), KNOWN)
    assert [len(each.registers) for each in batches] == [96, 96, 8]


def test_energies_of_green_button_are_added_to_the_latest_registers() -> None:
    data = green(
        kind(1, own="a"),
        kind(19, own="b", multiplier=-3),
        meter_reading("a", "blocks/a"),
        meter_reading("b", "blocks/b"),
        block(250, 500, up="blocks/a"),
        block(1_000, 2_000, up="blocks/b"),
        block(99, up="blocks/a", first=-1),
    )
    batches, passed = batches_of_file(data, KNOWN)
    assert passed == 1
    assert batches == [
        Batch(FIRST, ((5_001_000, 700_250_000), (5_003_000, 700_750_000))),
    ]
    wraps = Known(QUARTER_MS, 15, FIRST, (0, 999_999_500), 1_000_000_000)
    batches, _ = batches_of_file(green(kind(1), block(1)), wraps)
    assert batches[0].registers == ((0, 500),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<feed>", "is not well-formed XML"),
        (green(), "no interval readings"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><feed>&x;</feed>', "declares a document type"),
        *[
            (f'<?xml version="1.0" encoding="{name}"?><feed/>'.encode(), "is in another encoding")
            for name in ("foo", "shift_jis", "rot13", "idna")
        ],
        (green("<a>" * 40, "</a>" * 40), "nests too deeply"),
        (green(kind(uom=38), block(1)), "is not in Wh"),
        (green(kind(4), block(1)), "has no known direction"),
        (green(kind(multiplier=12), block(1)), "has an unknown multiplier"),
        (green(kind(multiplier=-5), block(1)), "no milliwatt-hours hold"),
        (green(kind(multiplier=9), block(10**15 - 1)), "no milliwatt-hours hold"),
        (green(kind(), block(-5)), "has no whole value"),
        (green(kind(own="a"), kind(own="b"), block(1)), "belongs to no reading type"),
        (
            green(kind(more="<e:accumulationBehaviour>1</e:accumulationBehaviour>"), block(1)),
            "is no energy of an interval",
        ),
        (green(kind(), block(1, duration=3_600)), "is no interval of this chain"),
        (green(kind(), block(1), block(2)), "states an interval twice"),
        (green(kind(), block(1, first=1)), "do not follow on"),
        (green(kind(), block(1)).replace(b"e:value", b"e:other"), "without value"),
    ],
)
def test_green_button_files_that_do_not_fit_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(FileError) as refusal:
        batches_of_file(data, KNOWN)
    assert words in str(refusal.value)


def test_an_error_in_green_button_has_its_line() -> None:
    data = green(kind(), block(1, 2, 3)).replace(b"<e:value>3<", b"<e:value>x<")
    with pytest.raises(FileError) as refusal:
        read_green_button(data)
    assert "line 3 has no whole value" in str(refusal.value)


@given(st.binary(max_size=300), st.sampled_from([b"", b"<feed>", READOUT.encode(), green(kind())]))
def test_any_bytes_are_read_or_refused(data: bytes, before: bytes) -> None:
    try:
        batches_of_file(before + data, KNOWN)
    except FileError as error:
        assert error.message


def test_what_would_take_no_end_is_refused() -> None:
    nested = "<entry><e:IntervalReading><entry/></e:IntervalReading></entry>"
    for data, words in (
        (green(nested), "within a reading"),
        (green("<entry/>" * 100_001), "one entry too many"),
        (f'{TABLE}"{"x" * 200}\n'.encode() + b"y\n" * 200_000, "ends no cell"),
    ):
        with pytest.raises(FileError, match=words):
            batches_of_file(data, KNOWN)


def test_each_of_many_blocks_finds_its_type_at_once() -> None:
    """Looked through one after the other they would take a quarter of an hour."""
    blocks = [block(1, up=f"b{number}", first=number) for number in range(20_000)]
    links = [
        f'<entry><link rel="related" href="b{number}"/><link rel="related" href="type"/>'
        "<content><e:MeterReading/></content></entry>"
        for number in range(20_000)
    ]
    found = read_green_button(green(kind(), kind(19, own="other"), *links, *blocks))
    assert len(found) == 20_000
