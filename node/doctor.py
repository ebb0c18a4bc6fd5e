"""The doctor: says in words why a network does or does not advance."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from consensus.interface import EngineView
from node.facade import Finding, MempoolInfo
from vm.system.validators import Validator

LOW_DISK_BYTES: Final = 500_000_000
LATE_FACTOR: Final = 2


def diagnose(
    *,
    view: EngineView,
    validators: Sequence[tuple[Validator, str]],
    connected: Collection[bytes],
    own_account: bytes | None,
    is_voted: bool,
    height: int,
    best_height: int,
    lowest_held: int | None,
    head_age_ms: int,
    heartbeat_ms: int,
    mempool: MempoolInfo,
    data: Path,
) -> list[Finding]:
    """Return what is right and wrong, the gravest first.

    `connected` holds the accounts of validators whose nodes are connected; `lowest_held` is the
    lowest block that anybody ahead still has; `head_age_ms` is how old the last final block is by
    this node's clock. Under proof of work nothing `is_voted`.
    """
    quorum = _quorum if is_voted else _miners
    findings = [
        *quorum(validators, connected, own_account),
        *_progress(view, validators, height, head_age_ms, heartbeat_ms, mempool),
        *_height(height, best_height, lowest_held),
        *_clock(head_age_ms),
        *_space(mempool, data),
    ]
    order = ("problem", "warning", "ok")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _quorum(
    validators: Sequence[tuple[Validator, str]],
    connected: Collection[bytes],
    own_account: bytes | None,
) -> list[Finding]:
    total = sum(validator.power for validator, _ in validators)
    away = [
        (validator, name)
        for validator, name in validators
        if validator.account not in connected and validator.account != own_account
    ]
    present = total - sum(validator.power for validator, _ in away)
    names = ", ".join(name for _, name in away)
    if own_account is None and len(away) < len(validators):
        text = f"This node follows {len(validators) - len(away)} of {len(validators)} validators."
        return [Finding("ok", "quorum", text)]
    if present * 3 <= total * 2:
        text = (
            f"Only {present} of {total} votes are reachable, more than two thirds are needed. "
            f"Missing: {names}. Start these nodes, or mend the network to them."
        )
        return [Finding("problem", "quorum", text)]
    if away:
        text = f"The network advances, but these validators are not connected here: {names}."
        return [Finding("warning", "quorum", text)]
    return [Finding("ok", "quorum", f"All {len(validators)} validators are connected.")]


def _miners(
    validators: Sequence[tuple[Validator, str]],
    connected: Collection[bytes],
    own_account: bytes | None,
) -> list[Finding]:
    away = [
        name
        for validator, name in validators
        if validator.account not in connected and validator.account != own_account
    ]
    if not away:
        return [Finding("ok", "miners", f"All {len(validators)} miners are connected.")]
    text = (
        f"These miners are not connected here: {', '.join(away)}. If they mine on apart for longer "
        "than the final depth, the two halves never agree again: mend the network to them."
    )
    return [Finding("warning", "miners", text)]


def _progress(
    view: EngineView,
    validators: Sequence[tuple[Validator, str]],
    height: int,
    head_age_ms: int,
    heartbeat_ms: int,
    mempool: MempoolInfo,
) -> list[Finding]:
    age = f"{max(head_age_ms, 0) // 1000} s"
    silent = ", ".join(
        validators[place][1] for place in view.missing_prevotes if place < len(validators)
    )
    waits = mempool.transactions > 0 and head_age_ms > 10_000
    if waits or head_age_ms > LATE_FACTOR * heartbeat_ms:
        text = (
            f"Height {height} has been the last final one for {age}; round {view.round} of the "
            f"next one is open. No vote of this round came from: {silent or 'nobody is missing'}."
        )
        return [Finding("problem", "progress", text)]
    return [Finding("ok", "progress", f"Height {height} became final {age} ago.")]


def _height(height: int, best_height: int, lowest_held: int | None) -> list[Finding]:
    if lowest_held is not None and lowest_held > height + 1:
        text = (
            f"This node needs block {height + 1}, and its peers have pruned the blocks below "
            f"{lowest_held}. Name a node in archive mode as a peer, or begin from a snapshot: "
            "bitenergy node resync --join snapshot"
        )
        return [Finding("problem", "sync", text)]
    if best_height > height + 1:
        text = f"This node is at height {height}, a peer claims {best_height}: it is catching up."
        return [Finding("warning", "sync", text)]
    return [Finding("ok", "sync", "No peer claims a higher height.")]


def _clock(head_age_ms: int) -> list[Finding]:
    if head_age_ms < -1_000:
        text = (
            f"The last block is {-head_age_ms // 1000} s ahead of this node's clock: this clock "
            "is slow, or the proposer's fast. Set the clocks by NTP."
        )
        return [Finding("problem", "clock", text)]
    return [Finding("ok", "clock", "The last block's time is not ahead of this node's clock.")]


def _space(mempool: MempoolInfo, data: Path) -> list[Finding]:
    findings: list[Finding] = []
    if mempool.bytes * 10 > mempool.max_bytes * 9:
        findings.append(
            Finding("warning", "mempool", "The mempool is nearly full: new transactions wait.")
        )
    free = shutil.disk_usage(data).free
    if free < LOW_DISK_BYTES:
        text = f"Only {free // 1_000_000} MB are free at {data}: the node stops when it is full."
        findings.append(Finding("problem", "disk", text))
    else:
        findings.append(Finding("ok", "disk", f"{free // 1_000_000_000} GB are free."))
    return findings
