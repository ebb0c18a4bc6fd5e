"""Fields of a genesis object: what each reader takes, and how it refuses the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vm.primitives.errors import InvalidGenesis
from vm.primitives.genesis_fields import GenesisFields, read_object

NAMES = ("a", "b")
ACCOUNTS = {"A": b"a" * 20}


def fields(**found: object) -> GenesisFields:
    return read_object(found, "thing 'x'", ("f",))


@pytest.mark.parametrize(
    ("value", "read", "result"),
    [
        (3, lambda f: f.integer("f", 1, 3), 3),
        (30, lambda f: f.one_of("f", (15, 30), default=15), 30),
        ("0.000001", lambda f: f.decimal("f"), 1),
        ("b", lambda f: f.choice("f", NAMES), 1),
        (True, lambda f: f.flag("f"), True),
        ("ÿ", lambda f: f.text("f"), "ÿ"),
        ("a-b", lambda f: f.name("f"), "a-b"),
        ("A", lambda f: f.account("f", ACCOUNTS.get), b"a" * 20),
        ([1], lambda f: f.entries("f", most=1), [1]),
    ],
)
def test_a_field_is_read(
    value: object, read: Callable[[GenesisFields], object], result: object
) -> None:
    assert read(fields(f=value)) == result


@pytest.mark.parametrize(
    ("value", "read", "words"),
    [
        (4, lambda f: f.integer("f", 1, 3), "'f' is a whole number; expected 1 to 3; got 4"),
        (True, lambda f: f.integer("f", 0, 3), "whole number"),
        (20, lambda f: f.one_of("f", (15, 30), default=15), "expected 15 or 30"),
        ("0.0000001", lambda f: f.decimal("f"), "more digits"),
        ("-1", lambda f: f.decimal("f"), "not below 0"),
        (1, lambda f: f.decimal("f"), "as text"),
        ("2", lambda f: f.decimal("f", most=1_000_000), "as text"),
        ("c", lambda f: f.choice("f", NAMES), "expected a or b"),
        (["a"], lambda f: f.choice("f", NAMES), "expected a or b"),
        (1, lambda f: f.flag("f"), "true or false"),
        (1, lambda f: f.text("f"), "is text"),
        ("a b", lambda f: f.name("f"), "is a name"),
        ("B", lambda f: f.account("f", ACCOUNTS.get), "no member"),
        ([1, 2], lambda f: f.entries("f", most=1), "too many entries; expected 1; got 2"),
        ({}, lambda f: f.entries("f", most=1), "is a list"),
    ],
)
def test_a_field_is_refused_in_words(
    value: object, read: Callable[[GenesisFields], object], words: str
) -> None:
    with pytest.raises(InvalidGenesis, match=words) as caught:
        read(fields(f=value))
    assert str(caught.value).startswith("thing 'x': 'f'")


def test_what_is_missing_is_its_default_or_is_refused() -> None:
    empty = fields()
    assert empty.integer("f", 1, 3, default=2) == 2
    assert empty.choice("f", NAMES, default="b") == 1
    assert empty.name("f", default="") == ""
    assert empty.account("f", ACCOUNTS.get, default=b"") == b""
    assert empty.flag("f", default=True) is True
    assert empty.entries("f", most=1) == []
    for read in (
        lambda: empty.integer("f", 1, 3),
        lambda: empty.decimal("f"),
        lambda: empty.choice("f", NAMES),
        lambda: empty.text("f"),
        lambda: empty.name("f"),
        lambda: empty.account("f", ACCOUNTS.get),
    ):
        with pytest.raises(InvalidGenesis):
            read()


def test_an_object_has_no_other_fields() -> None:
    with pytest.raises(InvalidGenesis, match="thing has unknown fields; expected f; got g"):
        read_object({"f": 1, "g": 2}, "thing", ("f",))
    with pytest.raises(InvalidGenesis, match="not a JSON object"):
        read_object([], "thing", ("f",))
