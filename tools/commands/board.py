"""`bitenergy board`: run one board agent, and make its folder."""

from __future__ import annotations

from pathlib import Path

import click

from tools.commands.options import json_option, pass_session
from tools.session import Session


@click.group("board")
def board_command() -> None:
    """One board: a unit's owner that computes dispatch with its neighbours in the feeder."""


@board_command.command("run")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default="board.toml",
    show_default=True,
    help="Its configuration.",
)
def run(config_path: Path) -> int:
    """Take part in dispatch rounds until told to stop (Ctrl-C, SIGTERM)."""
    from node.log import start_log
    from tools.board.config import load_config
    from tools.board.service import run_board

    config = load_config(config_path)
    start_log("info")
    run_board(config)
    return 0


@board_command.command("stop")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True))
@json_option
@pass_session
def stop(session: Session, folder: Path) -> int:
    """Stop all boards of this machine whose folders are in FOLDER."""
    from tools.local_boards import boards_in, stop_boards
    from tools.output import print_json, print_lines

    running = [board for board in boards_in(folder) if board.running]
    stop_boards(running)
    names = [board.member for board in running]
    if session.as_json:
        print_json({"stopped": names})
    else:
        print_lines(f"stopped {len(names)} boards" + (f": {', '.join(names)}" if names else ""))
    return 0


@board_command.command("keys")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
@pass_session
def keys(session: Session, folder: Path) -> int:
    """Make the key by which a board's neighbours know it, in FOLDER, and show it.

    The board's owner registers key and proof with members.set_node_key.
    """
    from tools.node_folder import create_keys
    from tools.output import print_json, print_lines

    identity = create_keys(folder, votes=False)
    if session.as_json:
        print_json({"node_key": identity.node_key.hex(), "node_proof": identity.node_proof.hex()})
    else:
        print_lines(
            f"node key    {identity.node_key.hex()}", f"node proof  {identity.node_proof.hex()}"
        )
    return 0
