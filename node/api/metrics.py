"""The node's numbers as Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PREFIX: Final = "bitenergy_"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HELP: Final[Mapping[str, str]] = {
    "height": "Height of the last final block.",
    "peers": "Connected peers.",
    "mempool_transactions": "Transactions that wait for a block.",
    "mempool_bytes": "Bytes of the transactions that wait.",
    "signatures_checked_total": "Signatures of transactions checked.",
    "syncs_total": "Synced writes to disk.",
    "blocks_total": "Blocks made final since the start.",
    "transactions_total": "Transactions made final since the start.",
    "transactions_executed_total": "Transactions executed, also for blocks that were not taken.",
    "resident_anonymous_bytes": "Anonymous resident memory.",
    "loop_lag_us": "How late the event loop is, microseconds.",
    "api_requests_total": "Requests answered.",
    "api_errors_total": "Requests that met a bug of the node.",
    "api_refused_total": "Requests refused for what they were.",
    "api_connections": "Open connections.",
    "api_connections_refused_total": "Connections refused because there were too many.",
    "api_websocket_readers": "WebSocket readers.",
    "api_websocket_readers_dropped_total": "WebSocket readers dropped for being slow.",
    "api_waiting_requests": "Requests that wait for a transaction.",
}


def render_metrics(metrics: Mapping[str, int]) -> str:
    """Return metrics by name as text; names ending in `_total` are counters, others gauges."""
    lines: list[str] = []
    for name, value in sorted(metrics.items()):
        kind = "counter" if name.endswith("_total") else "gauge"
        about = _HELP.get(name)
        if about:
            lines.append(f"# HELP {PREFIX}{name} {about}")
        lines.append(f"# TYPE {PREFIX}{name} {kind}")
        lines.append(f"{PREFIX}{name} {value}")
    return "\n".join(lines) + "\n"
