"""`bitenergy init` and `bitenergy node`: one node on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from tools.commands.options import (
    Command,
    as_text,
    as_time,
    json_option,
    pass_session,
    print_records,
)
from tools.errors import EXIT_FAILED, EXIT_OK, ToolError
from tools.node_folder import (
    CONFIG_FILE,
    NodeIdentity,
    NodeSettings,
    create_keys,
    load_identity,
    write_config,
)
from tools.output import note, print_fields, print_json, print_lines
from tools.session import Session
from vm.primitives.errors import BitenergyError

DEFAULT_FOLDER = "bitenergy-node"
EVERY_ADDRESS = ("0.0.0.0", "::")


def config_option(command: Command) -> Command:
    """Add `--config`, the node's configuration file."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        default=CONFIG_FILE,
        show_default=True,
        help="Configuration file of the node.",
    )(command)


def join_options(command: Command) -> Command:
    """Add `--join` and `--trust`."""
    command = click.option(
        "--trust",
        metavar="HEIGHT:ID",
        default="",
        help="A block known to be final, from somebody you trust; without it genesis is what the "
        "node goes by.",
    )(command)
    return click.option(
        "--join",
        type=click.Choice(("blocks", "snapshot")),
        default="blocks",
        show_default=True,
        help="How the node gets to the height of the others: over every block, or from a snapshot "
        "that it proves.",
    )(command)


@click.command("init")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder of the node; new or empty.",
)
@click.option(
    "--genesis",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The network's genesis file, from its operator.",
)
@click.option("--name", default="node", show_default=True, help="What the node calls itself.")
@click.option("--validator", is_flag=True, help="Make a vote key too.")
@click.option(
    "--peer",
    "peers",
    metavar="KEY@HOST:PORT",
    multiple=True,
    help="A node to connect to, as `bitenergy node keys` shows it there. May be given several "
    "times.",
)
@click.option("--p2p", default="0.0.0.0:8646", show_default=True, help="Where peers connect.")
@click.option("--api", default="127.0.0.1:8645", show_default=True, help="Where wallets connect.")
@join_options
@click.option(
    "--mode",
    type=click.Choice(("archive", "full", "light")),
    default="archive",
    show_default=True,
    help="Keep every block; the state and the last blocks; or, as meters and boards do, no chain.",
)
@json_option
@pass_session
def init_command(
    session: Session,
    folder: Path,
    genesis: Path,
    name: str,
    validator: bool,
    peers: tuple[str, ...],
    p2p: str,
    api: str,
    join: str,
    trust: str,
    mode: str,
) -> None:
    """Make the folder of one node: keys, configuration and a copy of the genesis file."""
    from node.config import LIGHT, parse_peer, parse_trust
    from node.genesis_file import reading_genesis
    from node.ledger.genesis import decode_genesis

    if not name:
        raise click.UsageError("A node needs a name: give one with --name.")
    if mode == LIGHT and validator:
        raise click.UsageError("A light node does not vote: leave --validator away.")
    if trust:
        parse_trust(trust)
    data = genesis.read_bytes()
    with reading_genesis(genesis):
        network = decode_genesis(data)
    known = tuple(parse_peer(peer) for peer in peers)
    for address in (p2p, api):
        _validate_address(address)
    if folder.exists() and any(folder.iterdir()):
        raise ToolError(
            f"{folder} is not empty", code="file_exists", hint="Choose another with --dir."
        )
    identity = create_keys(folder, votes=validator)
    (folder / "genesis.json").write_bytes(data)
    path = write_config(
        folder,
        NodeSettings(
            name=name,
            genesis="genesis.json",
            p2p_listen=p2p,
            api_listen=api,
            votes=validator,
            peers=known,
            mode=mode,
            join=join,
            trust=trust,
        ),
    )
    if session.as_json:
        print_json(
            {"config": str(path), "genesis": network.digest.hex(), **_identity_json(identity)}
        )
        return
    print_lines(f"{path} for network {network.chain} {network.digest.hex()}")
    _tell_next_steps(path, identity, knows_peers=bool(known))


def _tell_next_steps(path: Path, identity: NodeIdentity, *, knows_peers: bool) -> None:
    steps = [] if knows_peers else [f"Name the nodes to connect to in {path}."]
    steps += [
        "Have an operator enter this node's keys:  bitenergy member add … "
        f"--node-key {identity.node_key.hex()} --node-proof {identity.node_proof.hex()}"
        + (f" --vote-key {identity.vote_key.hex()}" if identity.vote_key else ""),
        f"Start it:  bitenergy node run --config {path}",
    ]
    note("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))


@click.group("node")
def node_command() -> None:
    """Run one node, see how it is, and why it does not advance."""


@node_command.command("run")
@config_option
def run(config: Path) -> int:
    """Run the node until it is stopped (SIGTERM, Ctrl-C); logs go to standard error."""
    from node.config import LIGHT, load_config

    try:
        settings = load_config(config)
        is_light = settings.mode == LIGHT
    except BitenergyError:
        is_light = False  # the full node's start says what is wrong with the file
    if is_light:
        # The full node's parts are not even imported: a board has little memory.
        from node.light.app import run as run_light_node

        return run_light_node(settings)
    from node.app import run as run_node
    from tools.explorer.files import load_site

    return run_node(config, load_site)


@node_command.command("certificate")
@config_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    help="A name or address under which browsers reach the node. May be given several times.",
)
@json_option
@pass_session
def certificate(session: Session, config: Path, hosts: tuple[str, ...]) -> None:
    """Make a certificate of one's own, so that the node serves its pages and API over HTTPS.

    Browsers ask once whether to trust it; compare the fingerprint that is shown here.
    """
    from node.web_certificate import CERTIFICATE_FILE, KEY_FILE, create_certificate

    fingerprint = create_certificate(config.parent, hosts)
    shown = {
        "certificate": str(config.parent / CERTIFICATE_FILE),
        "key": str(config.parent / KEY_FILE),
        "sha256": fingerprint,
    }
    if session.as_json:
        print_json(shown)
    else:
        print_fields("Certificate", list(shown.items()))
    note(f'now set tls_certificate = "{CERTIFICATE_FILE}" and tls_key = "{KEY_FILE}" under [api]')


@node_command.command("resync")
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder of the node.",
)
@click.option(
    "--join",
    type=click.Choice(("blocks", "snapshot")),
    help="Fetch every block, or a snapshot; by default as the configuration says.",
)
@click.option("--trust", metavar="HEIGHT:ID", help="A block known to be final.")
@json_option
@pass_session
def resync(session: Session, folder: Path, join: str | None, trust: str | None) -> None:
    """Remove the chain of a stopped node, so that it fetches it anew from its peers.

    Keys stay, and the file of what a validator signed: no height is signed again.
    """
    from tools.resync import resync_node

    removed = resync_node(folder, join=join, trust=trust)
    if session.as_json:
        print_json({"removed_bytes": removed, "config": str(folder / CONFIG_FILE)})
        return
    print_lines(
        f"{folder}: {removed / 1e6:.1f} MB of the chain removed; keys and signing file stay"
    )
    note(f"Start it:  bitenergy node run --config {folder / CONFIG_FILE}")


@node_command.command("snapshot")
@config_option
@click.option(
    "--timeout", type=float, default=600.0, show_default=True, help="Seconds to wait for it."
)
@json_option
@pass_session
def snapshot(session: Session, config: Path, timeout: float) -> None:
    """Have the running node take a snapshot for those who join, and wait until it is there."""
    from tools.resync import request_snapshot

    height, block_id = request_snapshot(config, timeout_s=timeout)
    if session.as_json:
        print_json({"height": height, "id": block_id.hex()})
        return
    print_lines(f"snapshot of block {height}")
    note(f"Who joins by it may name it:  --trust {height}:{block_id.hex()}")


@node_command.command("keys")
@config_option
@json_option
@pass_session
def keys(session: Session, config: Path) -> None:
    """Show the public keys of the node, for the operator who admits it, and what its peers write
    into their configuration.
    """
    from node.config import HOST_UNKNOWN, load_config

    listens = load_config(config).p2p
    identity = load_identity(config.parent)
    host = HOST_UNKNOWN if listens.host in EVERY_ADDRESS else listens.host
    peer = f"{identity.node_key.hex()}@{f'[{host}]' if ':' in host else host}:{listens.port}"
    if session.as_json:
        print_json(_identity_json(identity) | {"peer": peer})
        return
    print_fields(
        "Node",
        [
            ("node key", identity.node_key.hex()),
            ("node proof", identity.node_proof.hex()),
            ("vote key", identity.vote_key.hex() or "none"),
            ("for peers", peer),
        ],
    )
    if host == HOST_UNKNOWN:
        note(
            f"{HOST_UNKNOWN} stands for a name or address of this machine that its peers can reach."
        )


@node_command.command("status")
@json_option
@pass_session
def status(session: Session) -> None:
    """Show how the node is."""
    answer = session.client().status()
    if session.as_json:
        print_json(answer)
        return
    fields = [
        ("time", as_time(value)) if name == "time_ms" else (name.replace("_", " "), value)
        for name, value in answer.items()
        if not isinstance(value, list | dict)
    ]
    print_fields(f"Node at {session.client().url}", fields)
    warnings = answer.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        note(f"Warning: {warning}.")


@node_command.command("doctor")
@json_option
@pass_session
def doctor(session: Session) -> int:
    """Say in words why the network does not advance; exit status 0 if nothing is wrong."""
    from tools.client import list_field

    answer = session.client().get("/doctor")
    findings = list_field(answer, "findings")
    healthy = all(finding.get("severity") != "problem" for finding in findings)
    if session.as_json:
        print_json(answer)
        return EXIT_OK if healthy else EXIT_FAILED
    columns = [(name, (name,), as_text) for name in ("severity", "topic", "message")]
    print_records(f"Node at {session.client().url}", findings, columns)
    return EXIT_OK if healthy else EXIT_FAILED


def _identity_json(identity: NodeIdentity) -> dict[str, str]:
    return {
        "node_key": identity.node_key.hex(),
        "node_proof": identity.node_proof.hex(),
        "vote_key": identity.vote_key.hex(),
    }


def _validate_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise click.UsageError(f"{address} is not HOST:PORT.")
