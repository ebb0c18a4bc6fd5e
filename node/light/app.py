"""The light node as a process: runs until told to stop or until it must stop, and says why."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from ipaddress import ip_address
from typing import Final

from consensus.work import WorkRules
from node.config import ConfigError, NodeConfig, listening
from node.keyfile import load_key
from node.ledger.proof_paths import Trust, TrustedBlock
from node.light.api import LightApi
from node.light.facts import GenesisFacts, load_facts
from node.light.headers import HeaderChain
from node.light.local_server import LocalServer
from node.light.node import LightNode
from node.light.state_file import load_state, load_work
from node.light.work_headers import WorkHeaders
from node.log import start_log
from node.p2p.certificates import make_certificate
from vm.primitives.errors import BitenergyError

_log = logging.getLogger("bitenergy.app")

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_BUG: Final = 70


def run(config: NodeConfig) -> int:
    """Run the light node of a configuration; return its exit status.

    A fault of our own leaves by SystemExit with status 70, its trace in the log.
    """
    start_log(config.log_level)
    try:
        return asyncio.run(_run(config))
    except (BitenergyError, OSError) as error:
        _log.critical("the light node cannot run", extra={"reason": str(error)})
        return EXIT_REFUSED
    except Exception as error:
        _log.critical("the light node stops because of a fault of its own", exc_info=True)
        raise SystemExit(EXIT_BUG) from error


async def _run(config: NodeConfig) -> int:
    _validate_loopback(config)
    config.data.mkdir(parents=True, exist_ok=True)
    facts = load_facts(config.genesis, config.data)
    headers = load_headers(config, facts)
    identity = make_certificate(load_key(config.node_key, purpose="node"))
    node = LightNode(config, facts, headers, identity)
    server = LocalServer(LightApi(node).handle, hosts=config.api_hosts, origins=config.api_origins)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_error)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    failing, stopping = node.failed, asyncio.ensure_future(stop.wait())
    try:
        with listening("api.listen", config.api):
            port = await server.start(config.api.host, config.api.port)
        _log.info("api", extra={"address": f"{config.api.host}:{port}"})
        await node.start()
        gc.collect()
        gc.freeze()
        await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
        return EXIT_OK
    finally:
        stopping.cancel()
        await server.stop()
        await node.stop()
        _log.info("stopped", extra={"height": node.headers.height})


def load_headers(config: NodeConfig, facts: GenesisFacts) -> HeaderChain | WorkHeaders:
    """Return the headers as they were kept, or at their beginning; raises LightStateDamaged."""
    if not facts.work:
        begin = config.trust or Trust(facts.genesis, facts.validators, 1)
        return load_state(config.data, facts.genesis, begin)
    headers = WorkHeaders(
        facts.genesis,
        config.trust or TrustedBlock(0, facts.first_block),
        WorkRules(*facts.work),
        first_time_ms=facts.time_ms,
        clock_ms=lambda: time.time_ns() // 1_000_000,
    )
    load_work(config.data, headers)
    return headers


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what no caller was there to catch."""
    error = context.get("exception")
    exc_info = error if isinstance(error, BaseException) else None
    _log.error("unhandled: %s", context.get("message"), exc_info=exc_info)


def _validate_loopback(config: NodeConfig) -> None:
    try:
        is_local = config.api.host == "localhost" or ip_address(config.api.host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise ConfigError(
            "a light node answers programs of its own machine only",
            expected="api.listen at 127.0.0.1",
            actual=config.api.host,
            hint="Others can run a light node of their own, or ask a full node.",
        )
