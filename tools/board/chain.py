"""What a board reads of the chain and writes to it: open rounds, its units, its submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from market.dispatch_certificate import Certificate
from market.dispatch_codec import decode_problem, encode_certificate, hash_problem
from market.dispatch_problem import DispatchProblem
from node.keyfile import load_key
from tools.board.config import BoardArea, BoardConfig
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
from vm.primitives.codec import encode_integer
from vm.runtime import Call

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


class BoardChain:
    """The chain through the API of a node. Blocking: for a thread of its own."""

    def __init__(self, config: BoardConfig) -> None:
        self._config = config
        self._clients = [
            NodeClient(url, genesis=config.genesis, timeout_s=REQUEST_TIMEOUT_S)
            for url in config.nodes
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

    def registered_keys(self, members: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        """Return node key and node proof of members that have them, by name."""
        client = self.client()
        found = {}
        for name in members:
            account = client.account(name)
            if account.get("node_key") and account.get("node_proof"):
                found[name] = (
                    hex_field(account, "node_key", 32),
                    hex_field(account, "node_proof", 64),
                )
        return found

    def open_rounds(self) -> list[OpenRound]:
        """Return the open rounds."""
        answer = self.client().get("/dispatch/rounds", status="open")
        return [
            OpenRound(
                integer_field(each, "number"),
                text_field(each, "area"),
                hex_field(each, "problem_hash", 32),
            )
            for each in list_field(answer, "rounds")
        ]

    def problem_of(self, found: OpenRound) -> DispatchProblem:
        """Return a round's problem; raises AnswerInvalid unless it has the round's hash."""
        answer = self.client().get(f"/dispatch/rounds/{found.number}")
        problem = decode_problem(base64_field(answer, "problem_bytes"))
        if hash_problem(problem) != found.problem_hash:
            raise AnswerInvalid("the node shows another problem than the round's")
        return problem

    def status_of(self, number: int) -> str:
        """Return how a round stands."""
        answer = self.client().get(f"/dispatch/rounds/{number}")
        return text_field(object_field(answer, "round"), "status")

    def register_units(self, area: BoardArea) -> None:
        """Register the board's own units in an area, all in one transaction."""
        account = self._open_signer().account
        calls: list[Call] = []
        for unit in area.units:
            bids = tuple(
                (encode_integer(a), encode_integer(b), lo_w, hi_w) for a, b, lo_w, hi_w in unit.bids
            )
            arguments = (area.name, unit.name, account, area.bus, unit.kind, bids, ())
            calls.append(("dispatch", "register", arguments))
        if calls:
            self._send(calls)

    def submit(self, found: OpenRound, certificate: Certificate) -> tuple[bool, str]:
        """Submit a result; return whether it was accepted, and the code if not.

        Raises TransactionFailed where the round needs no result any more.
        """
        data = encode_certificate(certificate)
        receipt = self._send([("dispatch", "submit", (found.number, found.problem_hash, data))])
        values = receipt.get("values")
        outcome = values[0] if isinstance(values, list) and values else None
        if isinstance(outcome, list) and len(outcome) == 2:
            return outcome[0] is True, str(outcome[1])
        raise AnswerInvalid("the receipt of a submission has another form", actual=values)

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
