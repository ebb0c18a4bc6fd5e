"""The node as a process: loads its configuration and keys, runs until told to stop or until it
must stop, and says why.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from node.api.server import ApiServer
from node.api.web_pages import Site
from node.config import ConfigError, NodeConfig, listening, load_config
from node.genesis_file import load_genesis, reading_genesis, save_short_form
from node.keyfile import load_key
from node.log import start_log
from node.node import Node, NodeKeys
from node.p2p.certificates import make_certificate
from node.store import StorageFailure
from node.upgrades import UpgradeNeeded
from node.vote_guard import VoteKeyLock
from vm.primitives.errors import BitenergyError, InvariantViolation
from vm.primitives.signatures import public_key

_log = logging.getLogger("bitenergy.app")

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_STORAGE: Final = 74
EXIT_BUG: Final = 70
EXIT_UPGRADE: Final = 78
"""The members voted for what this software does not have."""


def run(config_path: Path, load_site: Callable[[], Site] | None = None) -> int:
    """Run the node of a configuration file; return its exit status.

    `load_site` gives the pages that the API's server has beside it, if the configuration wants any.
    A fault of our own leaves by SystemExit with status 70, its trace in the log.
    """
    try:
        config = load_config(config_path)
        start_log(config.log_level)
        with _held_vote_key(config):
            site = load_site() if load_site is not None and config.explorer else None
            return asyncio.run(_run(config, site))
    except UpgradeNeeded as error:
        _report(config_path, str(error))
        return EXIT_UPGRADE
    except BitenergyError as error:
        _report(config_path, str(error))
        return EXIT_REFUSED
    except StorageFailure as error:
        _report(config_path, str(error))
        return EXIT_STORAGE
    except OSError as error:
        _report(
            config_path,
            f"the machine refuses what the node needs: {error}. Check that the folder exists, "
            "belongs to the node's user and can be written.",
        )
        return EXIT_REFUSED
    except Exception as error:
        _log.critical("the node stops because of a fault of its own", exc_info=True)
        raise SystemExit(EXIT_BUG) from error


async def _run(config: NodeConfig, site: Site | None) -> int:
    with reading_genesis(config.genesis):
        genesis = load_genesis(config.genesis, config.data)
    node = Node(config, genesis, load_node_keys(config))
    save_short_form(config.genesis, config.data, genesis)
    api = ApiServer(
        node,
        host=config.api.host,
        port=config.api.port,
        allowed_hosts=config.api_hosts,
        allowed_origins=config.api_origins,
        site=site,
        tls=_tls_context(config.tls) if config.tls else None,
        on_fatal=node.on_fatal,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_on_loop_error, node))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    failing = stopping = None
    try:
        await node.start()
        # Whoever is answered can rely on the rest being up.
        with listening("api.listen", config.api):
            port = await api.start()
        _log.info("api", extra={"address": f"{config.api.host}:{port}"})
        _calm_collector()
        failing = asyncio.ensure_future(node.wait_failed())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
        return EXIT_OK
    finally:
        for waiting in (failing, stopping):
            if waiting is not None:
                waiting.cancel()
        await api.stop()
        await node.stop()
        _log.info("stopped", extra={"height": node.chain.height})


def _tls_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """Return what serves HTTPS with a certificate and its key; raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*files)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "the certificate for HTTPS cannot be used",
            expected="PEM files in api.tls_certificate and api.tls_key that belong together",
            actual=error,
            hint="`bitenergy node certificate` makes new ones.",
        ) from error
    return context


def _on_loop_error(node: Node, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what no caller was there to catch; stop the node where it must not go on."""
    error = context.get("exception")
    exc_info = error if isinstance(error, BaseException) else None
    _log.error("unhandled: %s", context.get("message"), exc_info=exc_info)
    if isinstance(error, (StorageFailure, InvariantViolation)):
        node.on_fatal(error)


def _calm_collector() -> None:
    """Leave what stays for good out of the garbage collector's rounds, and make them rarer.

    A block makes a hundred thousand objects and no cycles; looking for cycles among them is some
    seven parts in a hundred of the daemon's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


@contextmanager
def _held_vote_key(config: NodeConfig) -> Iterator[None]:
    """Keep other processes from voting with our key; raises AlreadyOpen where one does."""
    if config.vote_key is None:
        yield
        return
    seed = load_key(config.vote_key, purpose="vote")
    lock = VoteKeyLock(config.vote_key, public_key(seed))
    try:
        yield
    finally:
        lock.release()


def load_node_keys(config: NodeConfig) -> NodeKeys:
    """Return the secrets that a configuration names; raises KeyFileError."""
    identity = make_certificate(load_key(config.node_key, purpose="node"))
    seed = load_key(config.vote_key, purpose="vote") if config.vote_key else None
    return NodeKeys(identity, seed)


def _report(config_path: Path, reason: str) -> None:
    if not logging.getLogger("bitenergy").handlers:
        start_log("info")
    _log.critical("the node cannot run", extra={"config": str(config_path), "reason": reason})
