"""`bitenergy testnet`: a network of several nodes on this machine."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.commands.options import Command, json_option, pass_session
from tools.errors import EXIT_FAILED, EXIT_OK, Json, ToolError
from tools.output import note, print_json, print_lines, print_table, waiting
from tools.session import Session

if TYPE_CHECKING:
    from tools.testnet import LocalNetwork, LocalNode

DEFAULT_FOLDER = "testnet-data"


def folder_option(command: Command) -> Command:
    """Add `--dir`, the folder of the network."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        help="Folder of the network.",
    )(command)


@click.group("testnet")
def testnet_command() -> None:
    """A network of several nodes on this machine."""


@testnet_command.command("init")
@click.option("--validators", type=click.IntRange(1, 64), default=4, show_default=True)
@folder_option
@click.option(
    "--genesis",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Template to complete; without it the built-in testnet.json.",
)
@click.option("--engine", help="Consensus engine instead of the template's: poa, pos, pow.")
@click.option(
    "--unbonding",
    type=click.IntRange(0),
    metavar="MINUTES",
    help="How long stake that is taken back answers for faults, at least.",
)
@click.option(
    "--evidence",
    type=click.IntRange(1),
    metavar="BLOCKS",
    help="How many blocks a validator's contradiction may be old to cost something.",
)
@click.option(
    "--host",
    "hosts",
    metavar="NAME=HOST",
    multiple=True,
    help="Machine of a validator, for a network on several: V1=192.168.1.11. Once for each.",
)
@json_option
@pass_session
def init(
    session: Session,
    validators: int,
    folder: Path,
    genesis: Path | None,
    engine: str | None,
    unbonding: int | None,
    evidence: int | None,
    hosts: tuple[str, ...],
) -> None:
    """Make keys, configurations and genesis of a new network."""
    from tools.stake_times import describe_release, set_times
    from tools.testnet import create_network, parse_host

    template = set_times(
        load_template(genesis),
        engine=engine,
        unbonding_minutes=unbonding,
        evidence_blocks=evidence,
    )
    network = create_network(
        folder,
        template,
        validators=validators,
        engine=engine,
        hosts=dict(parse_host(host) for host in hosts) or None,
    )
    if session.as_json:
        print_json(_described(network))
        return
    print_lines(f"{len(network.nodes)} validators in {folder}", f"network {network.genesis.hex()}")
    if told := describe_release(json.loads((network.folder / "genesis.json").read_bytes())):
        note(told)
    if hosts:
        note(
            "Copy genesis.json and one folder, side by side, to each machine. Start it there:  "
            "bitenergy node run --config NAME/node.toml"
        )
        return
    note(f"Start it:  bitenergy testnet up --dir {folder}")


@testnet_command.command("up")
@folder_option
@click.argument("names", metavar="[NODE]...", nargs=-1)
@json_option
@pass_session
def up(session: Session, folder: Path, names: tuple[str, ...]) -> None:
    """Start all nodes, or those named, and wait until they answer."""
    from tools.testnet import load_network_folder, start_nodes

    network = load_network_folder(folder)
    with waiting("starting", quiet=session.as_json):
        start_nodes(_chosen(network, names))
    if session.as_json:
        print_json(_described(network))
        return
    for node in _chosen(network, names):
        print_lines(f"{node.name}  {node.api_url}")
    note(f"Its members' keys:  bitenergy --home {network.home} wallet list")


@testnet_command.command("down")
@folder_option
@click.argument("names", metavar="[NODE]...", nargs=-1)
@json_option
@pass_session
def down(session: Session, folder: Path, names: tuple[str, ...]) -> None:
    """Stop all nodes, or those named; what they hold stays."""
    from tools.testnet import load_network_folder, stop_nodes

    network = load_network_folder(folder)
    with waiting("stopping", quiet=session.as_json):
        stopped, killed = stop_nodes(_chosen(network, names))
    if session.as_json:
        print_json(
            {"stopped": [node.name for node in stopped], "killed": [node.name for node in killed]}
        )
        return
    count = len(stopped) + len(killed)
    print_lines("1 node stopped" if count == 1 else f"{count} nodes stopped")
    for node in killed:
        note(f"{node.name} did not stop in time and was killed; it recovers at its next start")


@testnet_command.command("status")
@folder_option
@json_option
@pass_session
def status(session: Session, folder: Path) -> int:
    """Show each node; the exit status is 0 only if all of them answer."""
    from tools.testnet import load_network_folder, node_status

    network = load_network_folder(folder)
    found = [(node, node_status(node)) for node in network.nodes]
    if session.as_json:
        print_json(
            {
                "genesis": network.genesis.hex(),
                "nodes": [
                    _node_described(node) | {"status": dict(says) if says else None}
                    for node, says in found
                ],
            }
        )
    else:
        rows = [_status_row(node, says) for node, says in found]
        columns = ("node", "process", "address", ">height", ">peers", "state root")
        print_table(f"Network {network.genesis.hex()[:16]}…", columns, rows)
    return EXIT_OK if all(says for _, says in found) else EXIT_FAILED


@testnet_command.command("logs")
@folder_option
@click.argument("names", metavar="[NODE]...", nargs=-1)
@click.option("--lines", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--follow", is_flag=True, help="Go on printing what is added, until Ctrl-C.")
def logs(folder: Path, names: tuple[str, ...], lines: int, follow: bool) -> None:
    """Show the end of the nodes' logs, each line led by its node."""
    from tools.testnet import load_network_folder, log_tail

    nodes = _chosen(load_network_folder(folder), names)
    for node in nodes:
        print_lines(*(f"{node.name} | {line}" for line in log_tail(node, lines)))
    if follow:
        _follow(nodes)


def load_template(path: Path | None) -> Json:
    """Return the template at `path`, or the built-in one; raises ToolError."""
    source = resources.files("genesis") / "testnet.json" if path is None else path
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ToolError(
            f"there is no template {source}", hint="Name one with --genesis."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{source} is not JSON", actual=error) from error
    if not isinstance(found, dict):
        raise ToolError(f"{source} is not one JSON object", code="invalid_genesis")
    return found


def _chosen(network: LocalNetwork, names: tuple[str, ...]) -> list[LocalNode]:
    return [network.node(name) for name in names] if names else list(network.nodes)


def _described(network: LocalNetwork) -> dict[str, object]:
    return {
        "dir": str(network.folder),
        "home": str(network.home),
        "genesis": network.genesis.hex(),
        "nodes": [_node_described(node) for node in network.nodes],
    }


def _node_described(node: LocalNode) -> dict[str, object]:
    mark = node.mark
    return {
        "name": node.name,
        "api": node.api_url,
        "p2p_port": node.p2p_port,
        "running": node.running,
        "pid": mark.pid if mark is not None and node.running else None,
    }


def _status_row(node: LocalNode, says: Json | None) -> list[object]:
    mark = node.mark
    process = f"pid {mark.pid}" if mark is not None and node.running else "stopped"
    if says is None:
        return [node.name, process, node.api_url, "–", "–", "no answer"]
    root = str(says.get("state_root", "–"))
    height = says.get("final_height", says.get("height", "–"))
    peers = says.get("peers", "–")
    count = len(peers) if isinstance(peers, list) else peers
    return [node.name, process, node.api_url, height, count, root[:16] + "…"]


def _follow(nodes: list[LocalNode]) -> None:
    """Print what is added to the logs until the user interrupts."""
    import time

    from tools.testnet import LOG_FILE

    paths = {node.name: node.folder / LOG_FILE for node in nodes}
    places = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
    try:
        while True:
            for name, path in paths.items():
                if not path.exists():
                    continue
                with path.open("rb") as handle:
                    handle.seek(places[name])
                    data = handle.read()
                whole = data[: data.rfind(b"\n") + 1]
                places[name] += len(whole)
                lines = whole.decode("utf-8", "replace").splitlines()
                print_lines(*(f"{name} | {line}" for line in lines))
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
