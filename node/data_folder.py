"""The data directory: what lies in it, and how one database takes the place of another.

DATA/chain/             the database
DATA/joining/           the database that a snapshot is being fetched into
DATA/joined/            the same, complete: it takes the place of `chain`, also after a crash
DATA/snapshots/         snapshots for those who join
DATA/signing-KEY        what the vote key signed: never removed
DATA/blocks-were-here   marks a directory that must not begin anew
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

CHAIN_FOLDER: Final = "chain"
JOINING_FOLDER: Final = "joining"
JOINED_FOLDER: Final = "joined"
SNAPSHOT_FOLDER: Final = "snapshots"
MARKER_NAME: Final = "blocks-were-here"
SIGNING_PREFIX: Final = "signing-"


def mark_joined(directory: Path) -> None:
    """Declare the database in `joining` complete; it must be closed."""
    (directory / JOINING_FOLDER).rename(directory / JOINED_FOLDER)
    sync_folder(directory)


def finish_swap(directory: Path) -> None:
    """Put a joined database, if there is one, in the place of the chain's; both are closed."""
    joined, chain = directory / JOINED_FOLDER, directory / CHAIN_FOLDER
    if not joined.exists():
        return
    shutil.rmtree(chain, ignore_errors=True)
    joined.rename(chain)
    sync_folder(directory)


def remove_joining(directory: Path) -> None:
    """Remove what was fetched of a snapshot."""
    shutil.rmtree(directory / JOINING_FOLDER, ignore_errors=True)


def remove_chain(directory: Path) -> None:
    """Remove all that comes from other nodes; what the node signed stays."""
    for name in (CHAIN_FOLDER, JOINING_FOLDER, JOINED_FOLDER, SNAPSHOT_FOLDER):
        shutil.rmtree(directory / name, ignore_errors=True)
    # Last: a removal that was cut short is found as a damaged directory, not as a fresh one.
    (directory / MARKER_NAME).unlink(missing_ok=True)
    sync_folder(directory)


def sync_folder(folder: Path) -> None:
    """Have the disk know which files a folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
