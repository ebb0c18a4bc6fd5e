"""`bitenergy explorer`: the pages that show a chain and trade from a browser."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

import click

from tools.commands.options import json_option, pass_session
from tools.output import note, print_json, print_lines
from tools.session import Session


@click.group("explorer")
def explorer_command() -> None:
    """See the chain, the market and the feeder in a browser, and trade there."""


@explorer_command.command("run")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve pages at.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8650, show_default=True, help="0: any free."
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Further name of this machine in addresses, for example node1.local; may be repeated.",
)
@json_option
@pass_session
def run(session: Session, host: str, port: int, names: Sequence[str]) -> int:
    """Serve the pages over the API of a node (--node, else the pinned one) until interrupted.

    A node also serves them itself, with `explorer = true` under [api] in its node.toml. Pages are
    served under this machine's addresses and the names given: other sites' names are refused.
    """
    from tools.explorer.files import load_site
    from tools.explorer.server import ExplorerServer

    node = session.client().url
    server = ExplorerServer(
        load_site(),
        node,
        host=host,
        port=port,
        names=names,
        fingerprint=session.node_fingerprint(),
    )

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        taken = await server.start()
        shown = f"[{host}]" if ":" in host else host
        if session.as_json:
            print_json({"url": f"http://{shown}:{taken}/", "node": node})
        else:
            print_lines(f"http://{shown}:{taken}/")
            note(f"pages over {node}; end with Ctrl-C")
        sys.stdout.flush()
        try:
            await stop.wait()
        finally:
            await server.stop()

    asyncio.run(serve())
    return 0
