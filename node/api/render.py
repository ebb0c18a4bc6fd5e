"""The chain's objects as JSON: integers in base units, hashes in hex, accounts as addresses."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from node.api.answers import JsonObject, JsonValue
from node.api.event_fields import CONTRACT_EVENT, name_values
from node.api.privacy import Viewer, call_values, event_values, is_hidden
from node.ledger.block import Header
from node.ledger.receipt import Receipt
from node.ledger.transaction import Transaction
from vm.context import Event
from vm.contract.verifier import decode_code
from vm.overlay import StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES, encode_address
from vm.primitives.codec import Encodable
from vm.primitives.integers import trade_amount_micro
from vm.runtime import Runtime
from vm.system.accounts import STATUS_NAMES, Account
from vm.system.contract_records import read_code
from vm.system.members import Member, read_member

MAX_NAMES = 8_192
MAX_EVENT_FORMS = 256
"""Contracts of which the names in their events are remembered."""

EventNames = Mapping[str, tuple[str, ...]]
"""The names of the values of a contract's events, by event."""


class Names:
    """The names of members, and of what contracts tell; they never change, so they are kept."""

    __slots__ = ("_events", "_known", "_state")

    def __init__(self, state: StateReader) -> None:
        self._state = state
        self._known: dict[bytes, str] = {}
        self._events: dict[bytes, EventNames] = {}

    def event_fields(self, contract: bytes, event: str) -> tuple[str, ...]:
        """Return the names of the values of a contract's event; empty where they are not known."""
        known = self._events.get(contract)
        if known is None or event not in known:
            # An upgrade adds events behind those that were there.
            raw = read_code(self._state, contract)
            if not raw:
                return ()
            if len(self._events) >= MAX_EVENT_FORMS:
                self._events.clear()
            known = self._events[contract] = {
                form.name: tuple([name for name, _ in form.fields])
                for form in decode_code(raw).events
            }
        return known.get(event, ())

    def find(self, account: bytes) -> str | None:
        """Return the name of an account; None if it is no member's."""
        name = self._known.get(account)
        if name is None:
            member = read_member(self._state, account)
            if member is None:
                return None
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
            name = self._known[account] = member.name
        return name


def to_base64(data: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(data).decode("ascii")


def plain(value: Encodable) -> JsonValue:
    """Return a value of the chain as JSON: 20 bytes as an address, other bytes in hex."""
    if isinstance(value, bytes):
        return encode_address(value) if len(value) == ACCOUNT_ID_BYTES else value.hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def named(fields: Iterable[tuple[str, Encodable]], names: Names) -> JsonObject:
    """Return named values as an object; beside an account stands its name as `…_name`."""
    found: JsonObject = {}
    for name, value in fields:
        found[name] = plain(value)
        if isinstance(value, bytes) and len(value) == ACCOUNT_ID_BYTES:
            known = names.find(value)
            if known is not None:
                found[f"{name}_name"] = known
    return found


def header_json(header: Header, names: Names) -> JsonObject:
    """Return a header's fields."""
    return {
        "genesis": header.genesis.hex(),
        "height": header.height,
        "time_ms": header.time_ms,
        "parent": header.parent.hex(),
        "last_commit": header.last_commit.hex(),
        "evidence_root": header.evidence_root.hex(),
        "transactions_root": header.transactions_root.hex(),
        "state_root": header.state_root.hex(),
        "receipts_root": header.receipts_root.hex(),
        "validators": header.validators.hex(),
        "next_validators": header.next_validators.hex(),
        "parameters": header.parameters.hex(),
        "gas_used": header.gas_used,
        "proposer": encode_address(header.proposer),
        "proposer_name": names.find(header.proposer),
        "seal": header.seal.hex(),
    }


def transaction_json(
    transaction: Transaction, runtime: Runtime, names: Names, viewer: Viewer
) -> JsonObject:
    """Return a transaction with its calls' arguments by name, as far as the viewer may see it.

    Without its signature nobody can try out which withheld figures the id or the signature is of.
    """
    hidden = is_hidden(transaction, viewer)
    return {
        "id": transaction.id.hex(),
        "genesis": transaction.genesis.hex(),
        "sender": encode_address(transaction.sender),
        "sender_name": names.find(transaction.sender),
        "key": transaction.key.hex(),
        "nonce": transaction.nonce,
        "gas_limit": transaction.gas_limit,
        "max_fee_micro": transaction.max_fee_micro,
        "expiry_height": transaction.expiry_height,
        "calls": [
            call_json((*call[:2], call_values(call, transaction.sender, viewer)), runtime, names)
            for call in transaction.calls
        ],
        "signature": None if hidden else transaction.signature.hex(),
        "raw": None if hidden else to_base64(transaction.raw),
    }


def call_json(
    call: tuple[str, str, Sequence[Encodable]], runtime: Runtime, names: Names
) -> JsonObject:
    """Return a call, its arguments named as the runtime declares them, by place otherwise."""
    module, method, values = call
    declaration = runtime.declarations.get(module, {}).get(method)
    if declaration is not None and len(declaration.arguments) == len(values):
        labels = [argument.name for argument in declaration.arguments]
    else:
        labels = [str(place) for place in range(len(values))]
    return {
        "module": module,
        "method": method,
        "arguments": named(zip(labels, values, strict=True), names),
        "values": [plain(value) for value in values],
    }


def event_json(event: Event, names: Names, viewer: Viewer) -> JsonObject:
    """Return an event, its values by name where the names are known, and in order.

    Energies that the viewer may not see are null.
    """
    module, name, _ = event
    values = event_values(event, viewer)
    event = (module, name, tuple(values))
    return {
        "module": module,
        "event": name,
        "fields": named(_event_fields(event, names), names),
        "values": [plain(value) for value in values],
    }


def is_event_of(event: Event, contract: bytes) -> bool:
    """Tell whether a contract told an event itself."""
    module, name, values = event
    return (module, name) == CONTRACT_EVENT and values[0] == contract


def _event_fields(event: Event, names: Names) -> list[tuple[str, Encodable]]:
    module, name, values = event
    if (module, name) != CONTRACT_EVENT:
        return name_values(module, name, values)
    match values:
        case (bytes(contract), str(told), *rest):
            own = names.event_fields(contract, told)
            if len(own) != len(rest):
                own = tuple([str(place) for place in range(len(rest))])
            # Beside the two of every contract's event a value keeps its own name.
            own = tuple([f"{one}_" if one in ("contract", "event") else one for one in own])
            return [("contract", contract), ("event", told), *zip(own, rest, strict=True)]
    return name_values(module, name, values)


def receipt_json(receipt: Receipt, names: Names, viewer: Viewer) -> JsonObject:
    """Return a receipt as far as the viewer may see it; a failed one says why in `message`."""
    failed = bool(receipt.code)
    message = receipt.values[0] if failed and receipt.values else ""
    return {
        "transaction_id": receipt.transaction_id.hex() or None,
        "code": receipt.code,
        "message": message if isinstance(message, str) else "",
        "gas_used": receipt.gas_used,
        "fee_micro": receipt.fee_micro,
        "events": [event_json(event, names, viewer) for event in receipt.events],
        "values": [] if failed else [plain(value) for value in receipt.values],
    }


def account_json(
    account_id: bytes,
    account: Account,
    member: Member | None,
    runtime: Runtime,
    *,
    with_energy: bool,
) -> JsonObject:
    """Return an account with what the registry says of its member."""
    return {
        "address": encode_address(account_id),
        "name": member.name if member else None,
        "roles": list(runtime.role_names(account.roles)),
        "status": STATUS_NAMES[account.status],
        "key": account.key.hex(),
        "nonce": account.nonce,
        "money_micro": account.money_micro,
        "money_reserved_micro": account.money_reserved_micro,
        "energy_milli_wh": account.energy_milli_wh if with_energy else None,
        "energy_reserved_milli_wh": account.energy_reserved_milli_wh,
        "bus": member.bus if member else "",
        "node_key": (member.node_key.hex() if member else "") or None,
        "node_proof": (member.node_proof.hex() if member else "") or None,
        "vote_key": (member.vote_key.hex() if member else "") or None,
        "admitted_height": member.admitted_height if member else 0,
    }


def trade_fields(event: Event, names: Names) -> JsonObject:
    """Return the fields of a trade's event, with what of its amount is penalty."""
    fields = dict(name_values(*event))
    found = named(fields.items(), names)
    match fields:
        case {
            "energy_milli_wh": int(energy),
            "price_micro_per_kwh": int(price),
            "penalty_micro_per_kwh": int(penalty),
            "amount_micro": int(amount),
        }:
            found["penalty_micro"] = amount - trade_amount_micro(energy, price - penalty)
    return found
