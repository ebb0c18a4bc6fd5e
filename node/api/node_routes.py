"""The routes about the node itself: its status, peers, numbers, and the API's own description."""

from __future__ import annotations

from typing import Final

from node.api import node_pages
from node.api.metrics import METRICS_TYPE
from node.api.openapi import show_openapi
from node.api.routes import BASE, Route
from node.api.schemas import FREE, TEXT, ref

NODE_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/status",
        "status",
        "Where the node and its network stand.",
        ref("Status"),
        node_pages.show_status,
    ),
    Route(
        "GET",
        f"{BASE}/genesis",
        "genesis",
        "The network's genesis in short, with its document unless that is longer than 1 MiB.",
        ref("Genesis"),
        node_pages.show_genesis,
        may_be_final=True,
    ),
    Route(
        "GET",
        f"{BASE}/genesis/document",
        "genesisDocument",
        "The genesis file, byte for byte.",
        ref("GenesisDocument"),
        node_pages.show_genesis_document,
        may_be_final=True,
    ),
    Route(
        "GET",
        f"{BASE}/params",
        "parameters",
        "The chain's parameters in force.",
        ref("Parameters"),
        node_pages.show_parameters,
    ),
    Route(
        "GET",
        f"{BASE}/validators",
        "validators",
        "Who decides the next block.",
        ref("Validators"),
        node_pages.list_validators,
    ),
    Route("GET", f"{BASE}/peers", "peers", "Connected peers.", ref("Peers"), node_pages.list_peers),
    Route(
        "GET",
        f"{BASE}/doctor",
        "doctor",
        "In words, why the network does or does not advance.",
        ref("Doctor"),
        node_pages.show_doctor,
    ),
    Route(
        "GET",
        f"{BASE}/mempool",
        "mempool",
        "How full the mempool is.",
        ref("Mempool"),
        node_pages.show_mempool,
    ),
    Route(
        "GET",
        f"{BASE}/modules",
        "modules",
        "Every method that a transaction may call, with its arguments and roles.",
        ref("Modules"),
        node_pages.list_modules,
    ),
    *(
        Route(
            "GET",
            f"{base}/metrics",
            f"metrics{suffix}",
            "The node's numbers for Prometheus.",
            TEXT,
            node_pages.show_metrics,
            content_type=METRICS_TYPE,
        )
        for base, suffix in (("", ""), (BASE, "BesideTheRest"))
    ),
    *(
        Route(
            "GET",
            f"{base}/openapi.json",
            f"openapi{suffix}",
            "This description.",
            FREE,
            show_openapi,
        )
        for base, suffix in (("", ""), (BASE, "BesideTheRest"))
    ),
)
