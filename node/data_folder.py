"""The data directory: what lies in it, and how one database takes the place of another.

DATA/chain/             the database
DATA/joining/           the database that a snapshot is being fetched into
DATA/joined/            the same, complete: it takes the place of `chain`, also after a crash
DATA/snapshots/         snapshots for those who join
DATA/signing-KEY        what the vote key signed: never removed
DATA/blocks-were-here   marks a directory that must not begin anew
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from node.disk import Disk, sync_folder

CHAIN_FOLDER: Final = "chain"
JOINING_FOLDER: Final = "joining"
JOINED_FOLDER: Final = "joined"
SNAPSHOT_FOLDER: Final = "snapshots"
MARKER_NAME: Final = "blocks-were-here"
SIGNING_PREFIX: Final = "signing-"


def mark_joined(directory: Path, disk: Disk) -> None:
    """Declare the database in `joining` complete; it must be closed."""
    disk.rename(directory / JOINING_FOLDER, directory / JOINED_FOLDER)
    disk.sync_folder(directory)


def finish_swap(directory: Path, disk: Disk) -> None:
    """Put a joined database, if there is one, in the place of the chain's; both are closed."""
    joined, chain = directory / JOINED_FOLDER, directory / CHAIN_FOLDER
    if not disk.exists(joined):
        return
    disk.remove(chain)
    disk.rename(joined, chain)
    disk.sync_folder(directory)


def remove_joining(directory: Path, disk: Disk) -> None:
    """Remove what was fetched of a snapshot."""
    disk.remove(directory / JOINING_FOLDER)


def remove_chain(directory: Path) -> None:
    """Remove all that comes from other nodes; what the node signed stays."""
    for name in (CHAIN_FOLDER, JOINING_FOLDER, JOINED_FOLDER, SNAPSHOT_FOLDER):
        shutil.rmtree(directory / name, ignore_errors=True)
    # Last: a removal that was cut short is found as a damaged directory, not as a fresh one.
    (directory / MARKER_NAME).unlink(missing_ok=True)
    sync_folder(directory)
