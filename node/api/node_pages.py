"""What the API says of the node and its network: status, parameters, peers, modules, findings."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from typing import Final

from node.api.answers import Answer, JsonObject, JsonValue, encode_json
from node.api.context import ApiContext
from node.api.metrics import METRICS_TYPE, render_metrics
from node.api.openapi import program_version
from node.api.parameters import Arguments
from vm.module import Declaration, Module
from vm.parameters import ChainParameters
from vm.primitives.address import encode_address
from vm.system.governance_records import read_engine
from vm.system.validators import Validator, read_validators

MAX_EMBEDDED_BYTES: Final = 1_048_576
"""A longer genesis file is not part of /genesis; /genesis/document has it."""


async def show_status(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /status."""
    facade = context.facade
    height = facade.store.height
    header = context.reader.header(height)
    validators = read_validators(facade.store)
    mempool = facade.mempool()
    undecided = facade.undecided()
    engine = read_engine(facade.store)
    return Answer(
        {
            "node": facade.name,
            "chain": facade.genesis.chain,
            "genesis": facade.genesis.digest.hex(),
            "engine": engine.name if engine else facade.genesis.engine,
            "height": height,
            "final_height": height,
            "tip_height": height + len(undecided),
            "tip_id": (undecided[-1].block_id if undecided else header.block_id()).hex(),
            "base_height": facade.store.base,
            "block_id": header.block_id().hex(),
            "state_root": header.state_root.hex(),
            "time_ms": header.time_ms,
            "validators": len(validators),
            "peers": len(facade.peers()),
            "mempool": mempool.transactions,
            "syncing": facade.is_syncing(),
            "version": program_version(),
            "consensus": _consensus(context, validators),
        }
    )


async def show_genesis(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /genesis: what it says in short, and the document itself unless it is long."""
    genesis = context.facade.genesis
    ready = context.ready.get("genesis")
    if ready is None:
        document = context.facade.genesis_document
        summary: JsonObject = {
            "genesis": genesis.digest.hex(),
            "chain": genesis.chain,
            "time_ms": genesis.time_ms,
            "engine": genesis.engine,
            "engine_parameters": dict(genesis.engine_parameters),
            "parameters": parameters_json(genesis.parameters),
            "roles": list(genesis.roles),
            "document_bytes": len(document),
            "document": json.loads(document) if len(document) <= MAX_EMBEDDED_BYTES else None,
        }
        ready = context.ready["genesis"] = encode_json(summary)
    return Answer(ready, tag=genesis.digest.hex())


async def show_genesis_document(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /genesis/document: the file as it was given."""
    return Answer(context.facade.genesis_document, tag=context.facade.genesis.digest.hex())


async def show_parameters(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /params."""
    return Answer(
        {
            "height": context.facade.store.height,
            "parameters": parameters_json(context.facade.parameters()),
        }
    )


async def list_validators(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /validators: who decides the next block."""
    validators = read_validators(context.facade.store)
    return Answer(
        {
            "height": context.facade.store.height + 1,
            "total_power": sum(validator.power for validator in validators),
            "validators": validators_json(context, validators),
        }
    )


def validators_json(context: ApiContext, validators: tuple[Validator, ...]) -> list[JsonObject]:
    """Return validators in the order of their indices."""
    return [
        {
            "index": place,
            "address": encode_address(validator.account),
            "name": context.names.find(validator.account),
            "vote_key": validator.vote_key.hex(),
            "power": validator.power,
        }
        for place, validator in enumerate(validators)
    ]


async def list_peers(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /peers."""
    peers: list[JsonObject] = [
        {
            "node_key": peer.node_key.hex(),
            "name": peer.name,
            "address": peer.address,
            "direction": peer.direction,
            "height": peer.height,
            "bytes_in": peer.bytes_in,
            "bytes_out": peer.bytes_out,
            "rtt_ms": peer.rtt_ms,
        }
        for peer in context.facade.peers()
    ]
    return Answer({"peers": peers})


async def show_doctor(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /doctor."""
    findings = context.facade.doctor()
    return Answer(
        {
            "healthy": all(finding.severity != "problem" for finding in findings),
            "findings": [
                {
                    "severity": finding.severity,
                    "topic": finding.topic,
                    "message": finding.message,
                }
                for finding in findings
            ],
        }
    )


async def show_mempool(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /mempool."""
    mempool = context.facade.mempool()
    return Answer(
        {
            "transactions": mempool.transactions,
            "bytes": mempool.bytes,
            "max_bytes": mempool.max_bytes,
        }
    )


async def list_modules(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /modules: every method that a transaction may call."""
    runtime = context.facade.runtime
    modules: list[JsonObject] = [
        {
            "name": name,
            "about": _first_sentence(module),
            "methods": [
                _method_json(module, method, declaration)
                for method, declaration in runtime.declarations[name].items()
            ],
        }
        for name, module in runtime.modules.items()
    ]
    return Answer({"roles": list(runtime.roles), "modules": modules})


async def show_metrics(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /metrics."""
    own = {
        "api_websocket_readers": context.hub.readers,
        "api_websocket_readers_dropped_total": context.hub.dropped_total,
        "api_waiting_requests": context.hub.waiters,
        **context.counters.as_metrics(),
    }
    text = render_metrics({**context.facade.metrics(), **own})
    return Answer(text.encode("utf-8"), content_type=METRICS_TYPE)


def parameters_json(parameters: ChainParameters) -> JsonObject:
    """Return the chain's parameters by name."""
    return {field.name: getattr(parameters, field.name) for field in fields(ChainParameters)}


def _consensus(context: ApiContext, validators: tuple[Validator, ...]) -> JsonObject:
    view = context.facade.engine_view()

    def labels(places: tuple[int, ...]) -> list[JsonValue]:
        return [_label(context, validators, place) for place in places]

    return {
        "height": view.height,
        "round": view.round,
        "step": view.step.name.lower(),
        "proposer": _label(context, validators, view.proposer_index),
        "own_index": view.own_index,
        "locked_round": view.locked_round,
        "missing_prevotes": labels(view.missing_prevotes),
        "missing_precommits": labels(view.missing_precommits),
    }


def _label(context: ApiContext, validators: tuple[Validator, ...], place: int) -> str:
    """Return the name of a validator, its address if it has none."""
    if not 0 <= place < len(validators):
        return f"validator {place}"
    account = validators[place].account
    return context.names.find(account) or encode_address(account)


def _method_json(module: Module, name: str, declaration: Declaration) -> JsonObject:
    return {
        "name": name,
        "about": _first_sentence(getattr(module, name)),
        "arguments": [
            {"name": argument.name, "expects": argument.kind.words}
            for argument in declaration.arguments
        ],
        "roles": list(declaration.roles),
    }


def _first_sentence(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
