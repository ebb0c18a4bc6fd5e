"""What the API says of governance: who votes, what is proposed, and what is in force."""

from __future__ import annotations

from typing import Final

from node.api.answers import Answer, ApiError, JsonObject
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.privacy import is_hidden, personal_data
from node.api.render import named, plain, to_base64
from vm.context import read_last_number
from vm.primitives.address import encode_address
from vm.system.accounts import read_account
from vm.system.governance import PROPOSAL_COUNTER
from vm.system.governance_records import (
    CHOICES,
    SETTINGS_KEY,
    STATUS_NAMES,
    VOTING,
    Proposal,
    Settings,
    decode_settings,
    read_engine,
    read_proposal,
    read_versions,
    read_vote,
)
from vm.system.voters import OPERATORS_KEY, VOTERS_KEY, default_settings, voting_weight

MAX_BALLOTS: Final = 1_000
"""Votes of an open proposal that one answer shows."""


async def list_proposals(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proposals: the newest first, with who votes and what is in force."""
    store = context.facade.store
    newest = read_last_number(store, PROPOSAL_COUNTER)
    first = min(newest, (arguments.optional_number("before") or newest + 1) - 1)
    last = max(0, first - arguments.number("limit"))
    proposals: list[JsonObject] = []
    for number in range(first, last, -1):
        proposal = read_proposal(store, number)
        if proposal is not None:
            proposals.append(_proposal_json(context, proposal))
    return Answer(
        {
            "settings": _settings_json(context),
            "engine": _engine_json(context),
            "module_versions": {
                name: read_versions(store).get(name, 1) for name in context.facade.runtime.modules
            },
            "proposals": proposals,
            "next": last + 1 if last else None,
        }
    )


async def show_proposal(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proposals/{number}: with the votes, as long as they are not counted."""
    number = arguments.number("number")
    proposal = read_proposal(context.facade.store, number)
    if proposal is None:
        raise ApiError(
            404, "unknown_proposal", "there is no proposal with this number", actual=number
        )
    ballots: list[JsonObject] = []
    tally = [0, 0, 0]
    pace = context.pace()
    most = min(proposal.votes, proposal.counted + MAX_BALLOTS)
    for place in range(proposal.counted + 1, most + 1):
        found = read_vote(context.facade.store, number, place)
        if found is None or not await pace.may_go_on():
            break
        account, choice = found
        weight = _weight(context, account)
        tally[choice] += weight
        who = named((("account", account),), context.names)
        ballots.append({**who, "choice": CHOICES[choice], "weight": weight})
    shown = _proposal_json(context, proposal)
    if proposal.status == VOTING:
        shown["tally"] = dict(zip(CHOICES, tally, strict=True))
        shown["eligible"] = _eligible(context)
    return Answer({**shown, "ballots": ballots})


async def show_block_bytes(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /blocks/{height}/bytes: header, certificate and body as they are stored."""
    height = context.reader.find_height(arguments.block("height"))
    store = context.facade.store
    head, body = store.head_bytes(height), store.body_bytes(height)
    if head is None or body is None:
        raise context.reader.pruned(height)
    block = context.reader.block(height)
    for number in range(len(block.transactions)):
        if is_hidden(block.transaction(number), arguments.viewer):
            raise personal_data()
    return Answer(
        {
            "height": height,
            "header": to_base64(head[0]),
            "certificate": to_base64(head[1]),
            "body": to_base64(body),
        },
        tag=f"{height}-bytes" if arguments.block("height") is not None else "",
    )


def _proposal_json(context: ApiContext, proposal: Proposal) -> JsonObject:
    change = proposal.change
    return {
        "number": proposal.number,
        "status": STATUS_NAMES[proposal.status],
        "result": proposal.result,
        "kind": change.kind,
        "name": change.name,
        "subject": change.subject,
        "values": {name: plain(value) for name, value in change.values},
        "height": proposal.height,
        "about": proposal.about,
        "proposer": encode_address(proposal.proposer),
        "proposer_name": context.names.find(proposal.proposer),
        "ends_ms": proposal.ends_ms,
        "votes": proposal.votes,
        "tally": dict(zip(CHOICES, proposal.tally, strict=True)),
        "eligible": proposal.eligible,
    }


def _settings_json(context: ApiContext) -> JsonObject:
    settings = _settings(context)
    roles = context.facade.runtime.roles
    return {
        "voters": {roles[bit.bit_length() - 1]: weight for bit, weight in settings.weights},
        "quorum": list(settings.quorum),
        "threshold": list(settings.threshold),
        "voting_period_ms": settings.voting_period_ms,
        "notice_blocks": settings.notice_blocks,
        "eligible": _eligible(context),
    }


def _engine_json(context: ApiContext) -> JsonObject:
    genesis, engine = context.facade.genesis, read_engine(context.facade.store)
    if engine is None:
        return {"name": genesis.engine, "parameters": dict(genesis.engine_parameters)}
    return {"name": engine.name, "parameters": dict(engine.parameters)}


def _settings(context: ApiContext) -> Settings:
    data = context.facade.store.get(SETTINGS_KEY)
    if data is not None:
        return decode_settings(data)
    return default_settings(context.facade.runtime.role_mask(("operator",)))


def _eligible(context: ApiContext) -> int:
    store = context.facade.store
    key = OPERATORS_KEY if store.get(SETTINGS_KEY) is None else VOTERS_KEY
    return int.from_bytes(store.get(key) or b"", "big")


def _weight(context: ApiContext, account: bytes) -> int:
    leaf = read_account(context.facade.store, account)
    return 0 if leaf is None else voting_weight(_settings(context), leaf)
