"""A run of the shadow: fetches the live chain's blocks from a node and gives them to both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.ledger.chain_rules import Candidate
from node.ledger.genesis import decode_genesis
from tools.client import NodeClient, base64_field
from tools.errors import NodeRefused, ToolError
from tools.shadow.replay import LiveReplay, ShadowReplay
from tools.shadow.report import Comparison, Stores, report_json
from tools.shadow.tally import read_day_bills
from vm.system.governance_records import Change

POLL_S: Final = 0.2
UNKNOWN_BLOCK: Final = "unknown_block"

Watcher = Callable[[Comparison, int], None]
"""Is told of each compared block with its height."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which blocks are compared."""

    first: int
    """First height under the other rules."""
    last: int | None
    """Last height; None goes on as blocks arrive."""


def run_shadow(
    client: NodeClient,
    changes: Sequence[Change],
    stretch: Stretch,
    folder: Path,
    watch: Watcher,
) -> dict[str, object]:
    """Return the comparison; it ends at the last height, or when interrupted.

    Raises BitenergyError, also where the changes cannot be made at all.
    """
    genesis = decode_genesis(json.dumps(client.get("/genesis/document")).encode())
    if genesis.digest != client.genesis_hash():
        raise ToolError("the node gave a genesis file of another network", code="wrong_network")
    live = LiveReplay(folder / "live", genesis)
    shadow: ShadowReplay | None = None
    found = Comparison(changes, stretch.first)
    try:
        for header, certificate, body in _blocks(client, Stretch(1, stretch.last)):
            if shadow is None and live.chain.height == stretch.first - 1:
                shadow = live.fork(folder / "shadow", changes)
                found.day_bills = read_day_bills(live.chain.store)
            block = live.take(header, certificate, body)
            if shadow is not None and not _compare(found, block, shadow):
                break
            watch(found, block.header.height)
        if shadow is None:
            raise ToolError(
                "the chain has no block to try the other rules on",
                code="too_early",
                hint=f"It is at height {live.chain.height}; give a lower --from, or --follow.",
            )
        return _report(client, found, Stores(live.chain.store, shadow.chain.store))
    except KeyboardInterrupt:
        if shadow is None:
            raise
        return _report(client, found, Stores(live.chain.store, shadow.chain.store))
    finally:
        live.close()
        if shadow is not None:
            shadow.close()


def _compare(found: Comparison, block: Candidate, shadow: ShadowReplay) -> bool:
    """Take a block on both sides; return whether the shadow can go on."""
    senders = {transaction.id: transaction.sender for transaction in block.transactions}
    found.live.add(block.executed.receipts, (), senders)
    try:
        done = shadow.take(block)
    except Exception as error:
        # Whatever a module under trial does wrong is what the run is there to find.
        height = block.header.height
        found.broken.append(
            f"the shadow stopped at height {height}: {type(error).__name__}: {error}"
        )
        return False
    found.shadow.add(done.receipts, done.refused, senders)
    return True


def _blocks(client: NodeClient, stretch: Stretch) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield header, certificate and body of final blocks, waiting for those to come."""
    height = stretch.first
    while stretch.last is None or height <= stretch.last:
        try:
            answer = client.get(f"/blocks/{height}/bytes")
        except NodeRefused as error:
            if error.code != UNKNOWN_BLOCK:
                raise
            time.sleep(POLL_S)
            continue
        yield (
            base64_field(answer, "header"),
            base64_field(answer, "certificate"),
            base64_field(answer, "body"),
        )
        height += 1


def _report(client: NodeClient, found: Comparison, stores: Stores) -> dict[str, object]:
    report = report_json(found, stores)
    answer = client.get(f"/blocks/{stores.live.height}")
    header = answer.get("header")
    root = header.get("state_root") if isinstance(header, dict) else None
    return {**report, "live_roots_equal": root == report["live_state_root"]}


def proposed_change(client: NodeClient, number: int) -> Change:
    """Return what a proposal of the live chain changes."""
    answer = client.get(f"/proposals/{number}")
    values = answer.get("values")
    if not isinstance(values, dict):
        raise ToolError("the node's answer lacks the proposal's values", code="answer_invalid")
    pairs = tuple(sorted(values.items()))
    return Change(str(answer["kind"]), str(answer["name"]), str(answer["subject"]), pairs)


def changes_of_file(path: Path) -> list[str]:
    """Return the NAME=VALUE lines of a file, without comments; raises ToolError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ToolError(f"cannot read {path}", actual=error, code="system") from error
    stripped = [line.partition("#")[0].strip() for line in lines]
    return [line for line in stripped if line]
