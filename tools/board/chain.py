"""What a board reads of the chain and writes to it: open rounds, its units, its submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from market.dispatch_certificate import Certificate
from market.dispatch_codec import decode_problem, encode_certificate, hash_problem
from market.dispatch_commitments import commitment_of
from market.dispatch_problem import DispatchProblem
from market.dispatch_records import (
    OPEN_KEY,
    PROBLEM_PART_BYTES,
    decode_round,
    part_key,
    round_key,
)
from node.keyfile import load_key
from tools.board.config import BoardArea, BoardConfig
from tools.board.light import light_url
from tools.client import (
    NodeClient,
    base64_field,
    hex_field,
    integer_field,
    list_field,
    object_field,
    text_field,
)
from tools.errors import AnswerInvalid, ClientError, NodeUnreachable
from tools.wallet import DEFAULT_EXPIRY_BLOCKS, DEFAULT_GAS_LIMIT, Signer, TransactionTerms
from vm.primitives.address import decode_address, encode_address
from vm.primitives.codec import encode_integer, unpack_trusted
from vm.runtime import Call
from vm.system.members import MEMBER_SPACE, NAME_SPACE, decode_member

SUBMIT_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class OpenRound:
    """An open round as the chain shows it."""

    number: int
    """Its number."""
    area: str
    """Its area."""
    problem_hash: bytes
    """Hash of its problem, 32 bytes."""
    lasts_ms: int
    """From its opening to its deadline."""
    parts: int = 0
    """Parts in which the state holds the problem, where that is proved part by part."""


class BoardChain:
    """The chain through the API of a node. Blocking: for a thread of its own."""

    def __init__(self, config: BoardConfig) -> None:
        self._config = config
        # Where the board runs a light node, that alone is asked: what others say is not proved.
        urls = config.nodes if config.light_config is None else (light_url(config.light_config),)
        self._is_light = config.light_config is not None
        self._clients = [
            NodeClient(url, genesis=config.genesis, timeout_s=REQUEST_TIMEOUT_S) for url in urls
        ]
        self._signer: Signer | None = None

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    def client(self) -> NodeClient:
        """Return the first node that answers; raises ClientError."""
        failure: ClientError = NodeUnreachable("no node is configured")
        for client in self._clients:
            try:
                client.status()
            except ClientError as error:
                failure = error
            else:
                return client
        raise failure

    def height(self) -> int:
        """Return the height of the last final block that is known."""
        return integer_field(self.client().status(), "height")

    def registered_keys(self, members: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        """Return node key and node proof of members that have them, by name."""
        client = self.client()
        read = _proved_keys if self._is_light else _shown_keys
        found = {name: read(client, name) for name in members}
        return {name: keys for name, keys in found.items() if keys is not None}

    def open_rounds(self) -> list[OpenRound]:
        """Return the open rounds."""
        if self._is_light:
            return self._proved_rounds()
        answer = self.client().get("/dispatch/rounds", status="open")
        return [
            OpenRound(
                integer_field(each, "number"),
                text_field(each, "area"),
                hex_field(each, "problem_hash", 32),
                integer_field(each, "deadline_ms") - integer_field(each, "opened_ms"),
            )
            for each in list_field(answer, "rounds")
        ]

    def problem_of(self, found: OpenRound) -> DispatchProblem:
        """Return a round's problem; raises AnswerInvalid unless it has the round's hash."""
        client = self.client()
        if self._is_light:
            data = b"".join(
                _proved(client, part_key(found.number, part)) or b"" for part in range(found.parts)
            )
        else:
            answer = client.get(f"/dispatch/rounds/{found.number}")
            data = base64_field(answer, "problem_bytes")
        problem = decode_problem(data)
        if hash_problem(problem) != found.problem_hash:
            raise AnswerInvalid("the node shows another problem than the round's")
        return problem

    def register_units(self, area: BoardArea) -> None:
        """Register the board's own units in an area, all in one transaction."""
        account = self._open_signer().account
        calls: list[Call] = []
        for unit in area.units:
            bids = tuple(
                (encode_integer(a), encode_integer(b), lo_w, hi_w) for a, b, lo_w, hi_w in unit.bids
            )
            storage = tuple(encode_integer(number) for number in unit.storage)
            arguments = (area.name, unit.name, account, area.bus, unit.kind, bids, storage)
            calls.append(("dispatch", "register", arguments))
        if calls:
            self._send(calls)

    def submit(self, found: OpenRound, certificate: Certificate) -> tuple[bool, str]:
        """Commit to a result, then submit it; return whether it was accepted, and the code if not.

        Raises TransactionFailed where the round needs no result any more.
        """
        data = encode_certificate(certificate)
        commitment = commitment_of(self._open_signer().account, found.number, data)
        self._send([("dispatch", "commit", (found.number, commitment))])
        receipt = self._send([("dispatch", "submit", (found.number, found.problem_hash, data))])
        values = receipt.get("values")
        outcome = values[0] if isinstance(values, list) and values else None
        if isinstance(outcome, list) and len(outcome) == 2:
            return outcome[0] is True, str(outcome[1])
        raise AnswerInvalid("the receipt of a submission has another form", actual=values)

    def _proved_rounds(self) -> list[OpenRound]:
        """Return the open rounds as a light node proves them."""
        client = self.client()
        numbers = unpack_trusted(_proved(client, OPEN_KEY) or b"\x90")
        rounds = []
        for number in numbers if isinstance(numbers, tuple) else ():
            leaf = _proved(client, round_key(int(str(number))))
            if leaf is not None:
                found = decode_round(leaf)
                parts = -(-found.problem_bytes // PROBLEM_PART_BYTES)
                lasts_ms = found.deadline_ms - found.opened_ms
                rounds.append(
                    OpenRound(found.number, found.area, found.problem_hash, lasts_ms, parts)
                )
        return rounds

    def _send(self, calls: Sequence[Call]) -> Mapping[str, object]:
        client, signer = self.client(), self._open_signer()
        params = object_field(client.get("/params"), "parameters")
        gas_limit = min(DEFAULT_GAS_LIMIT, integer_field(params, "max_transaction_gas"))
        blocks = min(DEFAULT_EXPIRY_BLOCKS, integer_field(params, "max_expiry_blocks"))
        address = encode_address(signer.account)
        terms = TransactionTerms(
            genesis=self._config.genesis,
            nonce=client.next_nonce(address),
            expiry_height=integer_field(client.status(), "height") + blocks,
            gas_limit=gas_limit,
            max_fee_micro=gas_limit * integer_field(params, "gas_price_micro"),
        )
        transaction = signer.sign(calls, terms)
        final = client.submit_and_wait(
            transaction.raw, timeout_s=SUBMIT_TIMEOUT_S, sender=address, nonce=terms.nonce
        )
        return final.receipt

    def _open_signer(self) -> Signer:
        """Return the board's key, its account as the registry has it under the board's name."""
        if self._signer is None:
            answer = self.client().account(self._config.member)
            account = decode_address(text_field(answer, "address"))
            seed = load_key(self._config.account_key, purpose="account")
            self._signer = Signer(self._config.member, account, seed)
        return self._signer


def _proved(client: NodeClient, key: bytes) -> bytes | None:
    """Return what a light node proves that the state holds at a key."""
    value = client.get(f"/state/{key.hex()}").get("value")
    return bytes.fromhex(value) if isinstance(value, str) else None


def _proved_keys(client: NodeClient, name: str) -> tuple[bytes, bytes] | None:
    account = _proved(client, NAME_SPACE + name.encode())
    leaf = None if account is None else _proved(client, MEMBER_SPACE + account)
    member = None if leaf is None else decode_member(leaf)
    return (member.node_key, member.node_proof) if member and member.node_key else None


def _shown_keys(client: NodeClient, name: str) -> tuple[bytes, bytes] | None:
    account = client.account(name)
    if not account.get("node_key"):
        return None
    return hex_field(account, "node_key", 32), hex_field(account, "node_proof", 64)
