"""Guards around a validator's vote key: one process per machine uses it, and none that forgot.

Two processes that vote with one key contradict each other, and so does one that lost the file in
which it noted what it signed, or whose directory was set back as a whole. All are stopped before
they vote.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from consensus.messages import SigningState
from node.store import AlreadyOpen, StorageFailure, Store
from vm.system.validators import Validator

LOCK_FOLDER: Final = (".cache", "bitenergy", "locks")
_COMMON_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
LOOK_BACK_BLOCKS: Final = 64
"""How many certificates are looked through for signatures of ours."""

_log = logging.getLogger("bitenergy.signer")


class VoteKeyLock:
    """The one right on this machine to vote with a key, held until `release`."""

    def __init__(self, path: Path, vote_key: bytes) -> None:
        """Take it, for the key file `path` and the public key in it; raises AlreadyOpen."""
        self._files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]
        self._common: Path | None = None
        try:
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._common = _common_path(vote_key)
            while self._common is not None:
                common = os.open(self._common, _COMMON_FLAGS, 0o600)
                self._files.append(common)
                fcntl.flock(common, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(common).st_nlink:
                    break
                # Whoever had it removed the file when it gave it up: make it anew.
                os.close(self._files.pop())
        except OSError as error:
            self._common = None
            self.release()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise AlreadyOpen(
                "another process on this machine votes with this key",
                actual=path,
                hint="Stop the other node first. A vote key belongs to one node alone: two that "
                "vote with it contradict each other.",
            ) from error

    def release(self) -> None:
        """Give it up."""
        if self._common is not None:
            self._common.unlink(missing_ok=True)
            self._common = None
        while self._files:
            os.close(self._files.pop())


def _common_path(vote_key: bytes) -> Path | None:
    """Return the file that all processes of this user with this key lock, wherever the key lies.

    It stands where nobody else can make, open or lock anything. Without such a place only the key
    file itself is locked, and copies of it are not noticed.
    """
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)  # not $HOME: the same for all processes
        folder = home.joinpath(*LOCK_FOLDER)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "not a folder of this user's own", str(folder))
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
        return folder / f"vote-{vote_key.hex()}"
    except (OSError, KeyError) as error:
        _log.warning(
            "no place for locks in this user's home: a second process with a copy of the vote "
            "key would not be noticed",
            extra={"reason": str(error)},
        )
        return None


def is_chain_current(
    validators: Sequence[Validator], own: bytes, heights: Mapping[bytes, int], height: int
) -> bool:
    """Tell whether a validator that has just started may vote: its chain is not an old one.

    `heights` holds the final heights that other validators told since then, by account, `height`
    is ours. More than two thirds of the power, ours counted, must have told theirs, and none may
    be ahead: where the whole directory was set back, the signing file with it, we signed at
    heights that it does not know of. A validator alone has nobody to ask.
    """
    told = {**heights, own: height}
    total = sum(validator.power for validator in validators)
    present = sum(validator.power for validator in validators if validator.account in told)
    return present * 3 > total * 2 and max(told.values()) <= height


def validate_signing_state(
    state: SigningState | None, vote_key: bytes, store: Store, height: int
) -> None:
    """Raise StorageFailure if the chain shows that the key signed and its file knows of nothing.

    `state` is what the signing file holds, `height` that of the last final block.
    """
    if state is not None:
        if state.height > height + 1:
            _log.warning(
                "the chain was set back: this validator signed at a greater height; it waits for "
                "the missing blocks from its peers and signs nothing until then",
                extra={"height": height, "signed_height": state.height},
            )
        return
    for found in range(height, max(0, height - LOOK_BACK_BLOCKS), -1):
        head, validators = store.head(found), store.validators_at(found)
        if head is None or head.certificate is None or validators is None:
            continue
        for place, _ in head.certificate.signatures:
            if place < len(validators) and validators[place].vote_key == vote_key:
                raise StorageFailure(
                    f"the file of what this vote key signed is gone, and block {found} carries a "
                    "signature of it. Restore the signing file from before; without it this "
                    "validator could contradict itself, so it must get a new vote key."
                )
