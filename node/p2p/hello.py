"""What two nodes say to each other first, and last.

The node that was dialed says hello first: its peer then knows that its own key was accepted before
it says anything. A goodbye tells why a connection ends, for the log of the other side.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.p2p.framing import TRANSPORT_KINDS
from vm.primitives.codec import Value, decode, encode
from vm.primitives.errors import DecodeError, InvalidInput
from vm.primitives.hashing import HASH_BYTES

PROTOCOL_VERSION = 1

_HELLO_TYPE = 20
_GOODBYE_TYPE = 21
_FORMAT_VERSION = 1
_HELLO_MAX_BYTES = TRANSPORT_KINDS[0].max_bytes
_GOODBYE_MAX_BYTES = TRANSPORT_KINDS[3].max_bytes
_MAX_CODE_CHARACTERS = 32
_MAX_TEXT_CHARACTERS = 400
_MAX_HEIGHT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Hello:
    """A node's first message."""

    protocol_version: int
    """The version of the messages that follow."""
    genesis: bytes
    """The network's identity, 32 bytes."""
    height: int
    """The height of its last final block; a claim that nothing may rest on."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Why a connection ended."""

    code: str
    """A short word for programs: `removed`, `slow_reader`, `wrong_genesis`, …"""
    text: str
    """A sentence for people."""
    remote: bool = False
    """True if these are the peer's words and not ours."""

    def __str__(self) -> str:
        return f"{self.code}: {'the peer says: ' if self.remote else ''}{self.text}"


def encode_hello(hello: Hello) -> bytes:
    """Return the payload of a hello."""
    return encode(
        (_HELLO_TYPE, _FORMAT_VERSION, hello.protocol_version, hello.genesis, hello.height)
    )


def decode_hello(payload: bytes) -> Hello:
    """Return the hello in `payload`; DecodeError on anything else."""
    fields = _decode_fields(payload, _HELLO_TYPE, 3, _HELLO_MAX_BYTES, "hello")
    version, genesis, height = fields
    if type(version) is not int or not 0 <= version < 2**16:
        raise DecodeError("a hello has no usable protocol version", actual=version)
    if not isinstance(genesis, bytes) or len(genesis) != HASH_BYTES:
        raise DecodeError("a hello has no genesis hash", expected=f"{HASH_BYTES} bytes")
    if type(height) is not int or not 0 <= height <= _MAX_HEIGHT:
        raise DecodeError("a hello has no usable height", actual=height)
    return Hello(version, genesis, height)


def validate_hello(hello: Hello, own: Hello) -> None:
    """Raise InvalidInput if a node that says `hello` cannot be our peer."""
    if hello.genesis != own.genesis:
        raise InvalidInput(
            "the peer is on another network",
            code="wrong_genesis",
            expected=f"genesis {own.genesis.hex()}",
            actual=hello.genesis.hex(),
            hint="Give both nodes the same genesis file, or remove this peer from the settings.",
        )
    if hello.protocol_version != own.protocol_version:
        raise InvalidInput(
            "the peer speaks another version of the protocol",
            code="wrong_version",
            expected=own.protocol_version,
            actual=hello.protocol_version,
            hint="Run the same version on both nodes.",
        )


def encode_goodbye(reason: Disconnect) -> bytes:
    """Return the payload of a goodbye; a long text is cut."""
    text = reason.text.encode("ascii", "replace").decode("ascii")[:_MAX_TEXT_CHARACTERS]
    return encode((_GOODBYE_TYPE, _FORMAT_VERSION, reason.code[:_MAX_CODE_CHARACTERS], text))


def decode_goodbye(payload: bytes) -> Disconnect:
    """Return the reason in `payload`, its text made printable; DecodeError on anything else."""
    code, text = _decode_fields(payload, _GOODBYE_TYPE, 2, _GOODBYE_MAX_BYTES, "goodbye")
    if not isinstance(code, str) or not isinstance(text, str):
        raise DecodeError("a goodbye gives no reason", expected="two texts")
    if len(code) > _MAX_CODE_CHARACTERS or not code.isascii() or not code.isidentifier():
        raise DecodeError("a goodbye has an unusable code", actual=repr(code[:40]))
    return Disconnect(code, "".join(c if " " <= c <= "~" else "?" for c in text), remote=True)


def _decode_fields(
    payload: bytes, type_number: int, count: int, max_bytes: int, what: str
) -> tuple[Value, ...]:
    value = decode(payload, max_bytes=max_bytes, max_items=16, max_depth=2)
    if not isinstance(value, tuple) or len(value) != count + 2:
        raise DecodeError(f"a {what} has the wrong shape", expected=f"an array of {count + 2}")
    if value[0] != type_number or value[1] != _FORMAT_VERSION:
        raise DecodeError(
            f"a {what} has the wrong type or version",
            expected=[type_number, _FORMAT_VERSION],
            actual=[value[0], value[1]],
        )
    return value[2:]
