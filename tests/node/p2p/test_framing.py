"""Frames: any split gives the same frames and the same error; nothing comes after an error."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.p2p.framing import FrameDecoder, KindTable, MessageKind
from node.p2p.hello import (
    Disconnect,
    Hello,
    decode_goodbye,
    decode_hello,
    encode_goodbye,
    encode_hello,
    validate_hello,
)
from tests.node.p2p.harness import BLOCK, GENESIS, KINDS, NOTE, TABLE, VOTE
from vm.primitives.codec import encode
from vm.primitives.errors import DecodeError, InvalidInput

frames = st.lists(st.tuples(st.sampled_from([1, VOTE, NOTE, BLOCK]), st.binary(max_size=8)))


def decode_in_pieces(stream: bytes, cuts: list[int]) -> tuple[list[tuple[int, bytes]], str]:
    """Return the frames and the error text ("" for none) of a stream cut at `cuts`."""
    decoder = FrameDecoder(TABLE)
    found: list[tuple[int, bytes]] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    try:
        for start, end in pairwise(edges):
            decoder.receive(stream[start:end])
            while (frame := decoder.next_frame()) is not None:
                found.append(frame)
    except DecodeError as error:
        return found, str(error)
    return found, ""


@given(frames, st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_survive_any_split(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(TABLE.encode(kind, payload) for kind, payload in sent)
    assert decode_in_pieces(stream, cuts) == (sent, "")


@given(frames, st.binary(max_size=40), st.lists(st.integers(0, 10_000), max_size=20))
def test_garbage_gives_the_same_frames_and_error_at_any_split(
    sent: list[tuple[int, bytes]], garbage: bytes, cuts: list[int]
) -> None:
    stream = b"".join(TABLE.encode(kind, payload) for kind, payload in sent) + garbage
    whole = decode_in_pieces(stream, [])
    assert decode_in_pieces(stream, cuts) == whole
    assert whole[0][: len(sent)] == sent


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\xff\xff\xff\xff\x10", "expected at most 1000 bytes; got 4294967295"),
        (b"\x00\x00\x03\xe9\x10", "expected at most 1000 bytes; got 1001"),
        (b"\x00\x00\x00\x00\xfe", "does not know; got 254"),
        (b"\x00\x00\x00\x09\x01", "expected at most 8 bytes; got 9"),
        (b"GET / HTTP/1.1\r\n", "does not know; got 47"),
    ],
)
def test_a_bad_head_is_refused_at_once_and_for_good(head: bytes, text: str) -> None:
    decoder = FrameDecoder(TABLE)
    decoder.receive(TABLE.encode(VOTE, b"good") + head)
    assert decoder.next_frame() == (VOTE, b"good")
    with pytest.raises(DecodeError, match=text):
        decoder.next_frame()
    with pytest.raises(DecodeError, match=text):
        decoder.receive(TABLE.encode(VOTE, b"good"))
    with pytest.raises(DecodeError, match=text):
        decoder.next_frame()
    assert decoder.pending_bytes == 0


def test_the_largest_payload_passes_and_one_more_byte_does_not() -> None:
    decoder = FrameDecoder(TABLE)
    decoder.receive(TABLE.encode(VOTE, bytes(1_000)))
    assert decoder.next_frame() == (VOTE, bytes(1_000))
    with pytest.raises(InvalidInput, match=r"'vote' is too long.*at most 1000 bytes; got 1001"):
        TABLE.encode(VOTE, bytes(1_001))
    with pytest.raises(InvalidInput, match="no such kind"):
        TABLE.encode(99, b"")


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([MessageKind(3, "low", 10)], "expected 16 to 255; got 3"),
        ([MessageKind(256, "high", 10)], "expected 16 to 255; got 256"),
        ([*KINDS, MessageKind(VOTE, "again", 10)], "'again' and 'vote' share a number"),
        ([MessageKind(20, "endless", 2**31)], "no usable size limit"),
    ],
)
def test_a_contradictory_table_is_refused(kinds: list[MessageKind], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        KindTable(kinds)


def test_hello_and_goodbye_come_back() -> None:
    hello = Hello(1, GENESIS, 2**63 - 1)
    assert decode_hello(encode_hello(hello)) == hello
    said = decode_goodbye(encode_goodbye(Disconnect("removed", "line\nbreak é " + "x" * 999)))
    assert said.remote and said.code == "removed"
    assert said.text.startswith("line?break ? xxx") and len(said.text) == 400


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        encode((20, 1, 1, GENESIS)),
        encode((20, 2, 1, GENESIS, 0)),
        encode((20, 1, 1, GENESIS[:31], 0)),
        encode((20, 1, 1, GENESIS, -1)),
        encode((20, 1, True, GENESIS, 1)),
        encode((20, 1, 1, "text", 1)),
        encode((21, 1, "code", "text")),
        encode((20, 1, 1, GENESIS, 2**63)),
        encode((20, 1, 1, GENESIS, 0)) + b"\0",
        b"\x95\xcc\x14" + encode((20, 1, 1, GENESIS, 0))[2:],
    ],
)
def test_a_malformed_hello_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_hello(payload)


@given(st.binary(max_size=80))
def test_random_bytes_never_hurt(payload: bytes) -> None:
    for decode in (decode_hello, decode_goodbye):
        try:
            decode(payload)
        except DecodeError:
            pass


def test_another_network_or_version_is_named() -> None:
    own = Hello(1, GENESIS, 0)
    with pytest.raises(InvalidInput, match=f"{GENESIS.hex()}; got {'ff' * 32}"):
        validate_hello(Hello(1, b"\xff" * 32, 0), own)
    with pytest.raises(InvalidInput, match="another version of the protocol; expected 1; got 2"):
        validate_hello(Hello(2, GENESIS, 0), own)
