"""A board's configuration is read back as it was written, and what is wrong with it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.config import ConfigError
from tools.board.config import (
    BoardArea,
    BoardConfig,
    Neighbour,
    OwnUnit,
    config_text,
    load_config,
)

CONFIG = BoardConfig(
    member="P1",
    genesis=bytes(range(32)),
    nodes=("http://127.0.0.1:8645",),
    account_key=Path("keys/P1.json"),
    node_key=Path("keys/node.json"),
    host="127.0.0.1",
    port=8650,
    traffic_log=Path("traffic.jsonl"),
    submits=False,
    light_config=Path("node.toml"),
    areas=(
        BoardArea(
            "feeder",
            "N2",
            (Neighbour("N1", "EDC", "192.168.1.20", 8650), Neighbour("N3", "P2", "::1", 8651)),
            (
                OwnUnit("roof", "generator", ((5 * 10**13, -(10**21), 0, 5_000),)),
                OwnUnit("cellar", "storage", (), (300, 300, 0, 0, 950_000, 10**6, 0, 9, 4, 0)),
            ),
        ),
    ),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(config_text(CONFIG))
    assert load_config(path) == replace(
        CONFIG,
        account_key=tmp_path / "keys/P1.json",
        node_key=tmp_path / "keys/node.json",
        traffic_log=tmp_path / "traffic.jsonl",
        light_config=tmp_path / "node.toml",
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[board]", "[board", "cannot read"),
        ("[board]", "[bord]", r"\[board\] is a table"),
        ('genesis = "00', 'genesis = "zz', "64 digits"),
        (':8650"\ntraffic', ':0"\ntraffic', "HOST:PORT"),
        ("N1=EDC@", "EDC@", "BUS=MEMBER@HOST:PORT"),
        ('kind = "generator"', 'kind = "windmill"', "generator or a load"),
        ('stored_ppm = "950000"', 'stored_ppm = "much"', "stored_ppm is a whole number"),
        ('["50000000000000", ', "[", "a, b, lo_w, hi_w"),
        ('"50000000000000"', '"five"', "whole numbers"),
        ('member = "P1"', 'member = "P 1"', "is a name"),
        ("[[area]]", "[[aera]]", "at least one"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = config_text(CONFIG)
    assert before in text
    path = tmp_path / "board.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path)
    assert str(path) in str(caught.value) and "docs/boards.md" in str(caught.value)
