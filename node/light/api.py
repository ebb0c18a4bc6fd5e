"""What a light node tells programs of its machine: those paths of the API that it can prove.

Each answer says under `proved` in which final block's state, or block, it stands.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from market.records import POLICY_NAMES, decode_market, decode_offer, market_key, offer_key
from node.api.answers import ApiError, JsonObject
from node.api.parameters import HASH, WHO, whole
from node.api.privacy import OWNER
from node.api.render import Names, receipt_json, to_base64
from node.ledger.block import Header
from node.light.local_server import Request
from node.light.node import LightNode, ProvedTransaction
from vm.parameters import PARAMETERS_KEY, decode_parameters
from vm.primitives.address import TEXT_LENGTH, decode_address, encode_address
from vm.primitives.errors import BitenergyError
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import STATUS_NAMES, account_key, decode_account
from vm.system.members import MEMBER_SPACE, NAME_SPACE, decode_member

BASE: Final = "/api/v1/"
MAX_WAIT_MS: Final = 30_000
MAX_BATCH: Final = 100
MAX_KEY_BYTES: Final = 256
_NUMBER = whole(0, MAX_AMOUNT)


class LightApi:
    """Answers requests about one light node."""

    def __init__(self, node: LightNode) -> None:
        self._node = node

    async def handle(self, request: Request) -> object:
        """Return the answer to a request as JSON values; raises BitenergyError."""
        try:
            return await self._route(request)
        except BitenergyError as error:
            if isinstance(error, ApiError):
                raise
            status = 503 if error.code in ("no_answer", "busy") else 400
            raise ApiError(
                status,
                error.code,
                error.message,
                expected=error.expected,
                actual=error.actual,
                hint=error.hint,
            ) from error

    async def _route(self, request: Request) -> object:
        parts = tuple(unquote(part) for part in request.path.removeprefix(BASE).split("/"))
        if not request.path.startswith(BASE):
            parts = ("",)
        match (request.method, *parts):
            case ("GET", "status"):
                return self._status()
            case ("GET", "peers"):
                return self._peers()
            case ("GET", "params"):
                return await self._parameters()
            case ("GET", "markets"):
                return await self._markets()
            case ("GET", "accounts", who):
                return await self._account(who)
            case ("GET", "offers", number):
                return await self._offer(number)
            case ("GET", "state", key):
                return await self._state(key)
            case ("GET", "transactions", transaction_id):
                return await self._transaction(transaction_id, request.query)
            case ("POST", "transactions"):
                return await self._submit(request.body)
        raise ApiError(
            404,
            "unknown_path",
            "a light node answers only what it can prove",
            expected="status, peers, params, markets, accounts/WHO, offers/ID, state/KEY, "
            "transactions/ID",
            actual=f"{request.method} {request.path}"[:100],
            hint="Lists, history and the doctor are a full node's: name one with --node URL.",
        )

    def _status(self) -> JsonObject:
        node = self._node
        head = node.headers.head
        return {
            "node": node.config.name,
            "mode": "light",
            "chain": node.network.chain,
            "genesis": node.network.genesis.hex(),
            "engine": node.network.engine,
            "height": node.headers.height,
            "final_height": node.headers.height,
            "block_id": node.headers.head_id.hex() or None,
            "state_root": head.state_root.hex() if head else None,
            "time_ms": head.time_ms if head else 0,
            "begins_at": node.headers.begin.height,
            "validator_changes": node.headers.validator_changes,
            "peers": len(node.full_nodes.connected()),
            "mempool": len(node.submitted),
            "syncing": node.is_syncing(),
            "proofs_verified": node.proofs_verified,
            "warnings": list(node.warnings()),
        }

    def _peers(self) -> JsonObject:
        claims = self._node.full_nodes.connected()
        return {
            "peers": [
                {"node_key": key.hex(), "height": height} for key, height in sorted(claims.items())
            ]
        }

    async def _parameters(self) -> JsonObject:
        proved = await self._node.prove(PARAMETERS_KEY)
        found = decode_parameters(proved.value or b"")
        names = type(found).__dataclass_fields__
        return {
            "height": proved.header.height,
            "parameters": {name: getattr(found, name) for name in names},
            "proved": _proved(proved.header),
        }

    async def _markets(self) -> JsonObject:
        markets: list[JsonObject] = []
        for name in self._node.network.markets:
            proved = await self._node.prove(market_key(name))
            if proved.value is None:
                continue
            market = decode_market(proved.value)
            markets.append(
                {
                    "number": market.number,
                    "name": market.name,
                    "policy": POLICY_NAMES[market.policy],
                    "interval_minutes": market.interval_minutes,
                    "gate_closure_minutes": market.gate_closure_minutes,
                    "min_price_micro_per_kwh": market.min_price_micro_per_kwh,
                    "max_price_micro_per_kwh": market.max_price_micro_per_kwh,
                    "min_energy_milli_wh": market.min_energy_milli_wh,
                    "proved": _proved(proved.header),
                }
            )
        return {"markets": markets}

    async def _account(self, who: str) -> JsonObject:
        account = await self._resolve(who)
        leaf = await self._node.prove(account_key(account))
        if leaf.value is None:
            raise ApiError(
                404,
                "unknown_account",
                "there is no such account",
                actual=encode_address(account),
                hint="An account begins when an operator admits its key.",
            )
        found = decode_account(leaf.value)
        registered = (await self._node.prove(MEMBER_SPACE + account)).value
        member = decode_member(registered) if registered else None
        roles = self._node.network.roles
        return {
            "address": encode_address(account),
            "name": member.name if member else None,
            "roles": [name for place, name in enumerate(roles) if found.roles >> place & 1],
            "status": STATUS_NAMES[found.status],
            "key": found.key.hex(),
            "nonce": found.nonce,
            "next_nonce": self._node.next_nonce(account, found.nonce),
            "money_micro": found.money_micro,
            "money_reserved_micro": found.money_reserved_micro,
            "energy_milli_wh": found.energy_milli_wh,
            "energy_reserved_milli_wh": found.energy_reserved_milli_wh,
            "bus": member.bus if member else "",
            "proved": _proved(leaf.header),
        }

    async def _resolve(self, who: str) -> bytes:
        """Return the account of an address, or of a name, which the chain proves."""
        if WHO.parse(who) is None:
            raise ApiError(400, "invalid_parameter", "not an account", expected=WHO.words)
        if len(who) == TEXT_LENGTH:
            return decode_address(who)
        account = (await self._node.prove(NAME_SPACE + who.encode("ascii"))).value
        if account is None:
            raise ApiError(404, "unknown_account", "no member has this name", actual=who)
        return account

    async def _offer(self, text: str) -> JsonObject:
        number = _NUMBER.parse(text)
        if not isinstance(number, int):
            raise ApiError(400, "invalid_parameter", "not an offer", expected=_NUMBER.words)
        proved = await self._node.prove(offer_key(number))
        answer: JsonObject = {
            "id": number,
            "stands": proved.value is not None,
            "proved": _proved(proved.header),
        }
        if proved.value is not None:
            offer = decode_offer(proved.value)
            answer |= {
                "market_number": offer.market,
                "interval": offer.interval,
                "seller": encode_address(offer.seller),
                "price_micro_per_kwh": offer.price_micro_per_kwh,
                "energy_milli_wh": offer.energy_milli_wh,
            }
        return answer

    async def _state(self, text: str) -> JsonObject:
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if not 1 <= len(key) <= MAX_KEY_BYTES:
            raise ApiError(400, "invalid_parameter", "a state key is 1 to 256 bytes in hexadecimal")
        proved = await self._node.prove(key)
        value = None if proved.value is None else proved.value.hex()
        return {"key": key.hex(), "value": value, "proved": _proved(proved.header)}

    async def _transaction(self, text: str, query: str) -> JsonObject:
        transaction_id = HASH.parse(text)
        fields = dict(parse_qsl(query))
        wait_ms = whole(0, MAX_WAIT_MS).parse(fields.get("wait_ms", "0"))
        if not isinstance(transaction_id, bytes) or not isinstance(wait_ms, int):
            raise ApiError(400, "invalid_parameter", "not a transaction's id, or a wait too long")
        found = await self._node.wait_final(transaction_id, wait_ms / 1_000)
        if found is not None:
            return _final(found)
        waiting = self._node.submitted.get(transaction_id)
        if waiting is None:
            raise ApiError(
                404,
                "unknown_transaction",
                "no full node proves this transaction final, and it was not handed in here",
                actual=transaction_id,
            )
        return {
            "id": text.lower(),
            "status": "pending",
            "height": None,
            "transaction": {"sender": encode_address(waiting.sender), "nonce": waiting.nonce},
            "receipt": None,
        }

    async def _submit(self, body: bytes) -> JsonObject:
        try:
            document = json.loads(body)
            texts = document["transactions"]
            raws = [a2b_base64(text, strict_mode=True) for text in texts]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ApiError(
                400,
                "invalid_body",
                "the body is not a batch of transactions",
                expected='{"transactions": ["<base64>", …]}',
            ) from error
        if len(raws) > MAX_BATCH:
            raise ApiError(413, "batch_too_large", "too many transactions", expected=MAX_BATCH)
        results: list[JsonObject] = []
        for raw in raws:
            found = await self._node.submit(raw)
            result: JsonObject = {
                "id": found.transaction_id.hex() or None,
                "accepted": not found.code,
            }
            if found.code:
                result |= {"code": found.code, "message": found.message}
            results.append(result)
        return {"results": results}


class _NoNames:
    """A state that holds nothing: names that are not proved are not told."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def scan(self, start: bytes, end: bytes) -> Mapping[bytes, bytes]:
        return {}

    def page(self, path: str) -> bytes | None:
        return None


def _final(found: ProvedTransaction) -> JsonObject:
    return {
        "id": found.transaction.id.hex(),
        "status": "final",
        "height": found.header.height,
        "index": found.index,
        "block_id": found.header.block_id().hex(),
        "time_ms": found.header.time_ms,
        "transaction": {
            "sender": encode_address(found.transaction.sender),
            "nonce": found.transaction.nonce,
            "raw": to_base64(found.transaction.raw),
        },
        "receipt": receipt_json(found.receipt, Names(_NoNames()), OWNER),  # type: ignore[arg-type]
        "proved": _proved(found.header),
    }


def _proved(header: Header) -> JsonObject:
    return {
        "height": header.height,
        "block_id": header.block_id().hex(),
        "time_ms": header.time_ms,
    }
