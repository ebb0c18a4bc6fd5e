"""An overlay is a dictionary that can be undone, scanned in order, and never touches its parent."""

import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from vm.overlay import ORDERED_SPACES, Overlay

NUMBERS = range(6)
ALL_KEYS = [space + bytes([number]) for space in (b"a", b"i", b"q") for number in NUMBERS]


def make_steps(chance: random.Random) -> Iterator[tuple]:
    """Yield the steps of one history; lists that hypothesis draws are too short to get deep."""
    for _ in range(chance.randrange(5, 60)):
        match chance.choices(
            ["put", "mark", "undo", "forget", "scan", "stack"], [8, 3, 3, 1, 4, 1]
        ):
            case ["put"]:
                yield "put", chance.choice(ALL_KEYS), chance.choice([None, b"", b"x", b"y"])
            case ["undo"]:
                yield "undo", chance.randrange(6)
            case ["scan"]:
                yield "scan", chance.choice(ALL_KEYS), chance.choice(ALL_KEYS)
            case [other]:
                yield (other,)


class Plain:
    """A parent state in a dictionary."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = entries

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in sorted(self.entries.items()):
            if start <= key < end and key[0] in ORDERED_SPACES:
                yield key, value


def scanned(model: dict[bytes, bytes], start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    """What a scan of the model gives."""
    return [
        (key, value)
        for key, value in sorted(model.items())
        if start <= key < end and key[0] in ORDERED_SPACES
    ]


@settings(max_examples=400)
@given(st.integers(0, 2**64 - 1))
def test_overlay_behaves_as_a_dictionary(seed: int) -> None:
    chance = random.Random(seed)
    entries = {key: b"p" for key in ALL_KEYS if chance.random() < 0.4}
    before = dict(entries)
    parents: list[tuple[Overlay, dict]] = []
    overlay, model = Overlay(Plain(entries)), dict(entries)
    marks: list[tuple[int, dict[bytes, bytes]]] = []
    for step in make_steps(chance):
        match step:
            case ("put", key, value):
                overlay.put(key, value)
                model.pop(key, None)
                if value is not None:
                    model[key] = value
            case ("mark",):
                marks.append((overlay.mark(), dict(model)))
            case ("undo", number) if marks:
                place, model = marks[number % len(marks)]
                model = dict(model)
                del marks[number % len(marks) :]
                overlay.undo(place)
            case ("forget",):
                overlay.forget_journal()
                marks.clear()
            case ("scan", start, end):
                assert list(overlay.scan(start, end)) == scanned(model, start, end)
            case ("stack",):
                parents.append((overlay, dict(overlay.changes)))
                overlay = Overlay(overlay)
                marks.clear()
    for key in [*ALL_KEYS, b"a\x07", b"i\x07"]:
        assert overlay.get(key) == model.get(key)
    assert list(overlay.scan(b"i", b"r")) == scanned(model, b"i", b"r")
    assert entries == before
    assert all(parent.changes == changes for parent, changes in parents)


def test_an_empty_value_is_not_a_deleted_one() -> None:
    overlay = Overlay(Plain({b"i\0": b"x"}))
    overlay.put(b"i\0", b"")
    assert overlay.get(b"i\0") == b""
    assert list(overlay.scan(b"i", b"j")) == [(b"i\0", b"")]
    overlay.put(b"i\0", None)
    assert overlay.get(b"i\0") is None
    assert list(overlay.scan(b"i", b"j")) == []


def test_what_came_and_went_within_the_layer_leaves_nothing_to_pass() -> None:
    overlay = Overlay(Plain({b"i1": b"old"}))
    overlay.put(b"i2", b"new")
    mark = overlay.mark()
    overlay.put(b"i2", None)
    overlay.put(b"i1", None)
    assert list(overlay.walk(b"i", b"j")) == [(b"i1", None)]
    assert overlay.get(b"i2") is None
    overlay.undo(mark)
    assert list(overlay.walk(b"i", b"j")) == [(b"i1", b"old"), (b"i2", b"new")]
    overlay.undo(0)
    assert list(overlay.walk(b"i", b"j")) == [(b"i1", b"old")]
    assert overlay.changes == {}
