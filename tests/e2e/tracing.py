"""strace on a node: which calls of the system write its data, and faults injected into them.

strace counts a call's occurrences for each thread by itself; what a run struck is read from its
log afterwards.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.nodes import Nodes
from tests.e2e.support import until

WRITES = ("write", "pwrite64", "writev", "pwritev")
SYNCS = ("fdatasync", "fsync")
RENAMES = ("rename", "renameat", "renameat2")
CALLS = (*WRITES, *SYNCS, *RENAMES)
NUMBERS_BEHIND, NUMBERS_AHEAD = 8, 16
_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)")
_DESCRIPTOR = re.compile(r"\d+<(?P<path>/[^>]*)>")
_RENAMED = re.compile(r'"[^"]*", (?:AT_FDCWD[^,]*, )?"(?P<path>[^"]*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """A call that wrote, synced or renamed a file of a node's data directory."""

    name: str
    """The call's name."""
    file: str
    """What kind of file: `signing`, `log`, `table`, `manifest`, `current`, `folder` …"""
    nth: int
    """Which call of this name it was in its thread, from 1."""
    thread: int
    injected: bool

    def __str__(self) -> str:
        return f"{self.name} of {self.file}"


def kind_of(path: str) -> str:
    """Return what kind of file of a data directory a path is."""
    name = path.rsplit("/", 1)[-1]
    for ending, kind in ((".log", "log"), (".ldb", "table"), (".dbtmp", "current draft")):
        if name.endswith(ending):
            return kind
    if name.startswith("MANIFEST"):
        return "manifest"
    if name.startswith("signing-"):
        return "signing draft" if name.endswith(".new") else "signing"
    names = {"CURRENT": "current", "LOG": "info", "LOG.old": "info", "blocks-were-here": "mark"}
    return names.get(name, "folder" if name in ("data", "chain") else name)


def data_paths(folder: Path, only: Sequence[str] = ()) -> list[str]:
    """Return all paths of a data directory that a node may write, or those of some kinds."""
    chain = folder / "chain"
    known = [int("".join(filter(str.isdigit, path.name))) for path in chain.glob("*0*")]
    last = max(known, default=0)
    numbered = [
        chain / name
        for number in range(max(0, last - NUMBERS_BEHIND), last + NUMBERS_AHEAD)
        for name in (
            f"{number:06}.log",
            f"{number:06}.ldb",
            f"{number:06}.dbtmp",
            f"MANIFEST-{number:06}",
        )
    ]
    signing = [folder / f"signing-{each}" for each in _signing_names(folder)]
    named = [folder, chain, folder / "blocks-were-here", chain / "CURRENT"]
    named += [folder / "genesis.short", folder / "genesis.short.new"]
    found = [str(path) for path in (*named, *signing, *numbered)]
    return [path for path in found if not only or kind_of(path) in only]


def _signing_names(folder: Path) -> list[str]:
    from node.keyfile import load_key
    from vm.primitives.signatures import public_key

    key = public_key(load_key(folder.parent / "keys" / "vote.json", purpose="vote"))
    return [key.hex()[:16], key.hex()[:16] + ".new"]


def read_trace(path: Path, folder: Path) -> list[Call]:
    """Return the calls of a log that touched a data directory, in order."""
    calls: list[Call] = []
    counts: dict[tuple[int, str], int] = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        found = _LINE.match(line)
        if found is None or found["call"] not in CALLS:
            continue
        pattern = _RENAMED if found["call"] in RENAMES else _DESCRIPTOR
        touched = pattern.search(found["rest"])
        if touched is None or not touched["path"].startswith(str(folder)):
            continue
        thread, name = int(found["thread"]), found["call"]
        counts[thread, name] = counts.get((thread, name), 0) + 1
        injected = "(INJECTED)" in line or line.endswith("= ?")
        kind = kind_of(touched["path"])
        calls.append(Call(name, kind, counts[thread, name], thread, injected))
    return calls


def strace_words(
    log: Path, paths: Sequence[str], inject: str = "", calls: Sequence[str] = CALLS
) -> list[str]:
    """Return how strace is called to watch the calls that touch `paths`."""
    words = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(calls)}"]
    for path in paths:
        words += ["-P", path]
    return [*words, "-e", f"inject={inject}"] if inject else words


@contextmanager
def attached(pid: int, log: Path, paths: Sequence[str], inject: str = "") -> Iterator[None]:
    """Watch a process that runs; it goes on unwatched afterwards."""
    words = [*strace_words(log, paths, inject), "-p", str(pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert b" attached" in said, said
        os.set_blocking(tracer.stderr.fileno(), False)
        yield
    finally:
        tracer.terminate()
        tracer.wait(10)
        assert tracer.stderr is not None
        tracer.stderr.close()


def spawn_traced(
    nodes: Nodes, name: str, log: Path, paths: Sequence[str], inject: str = ""
) -> None:
    """Start a node that is watched from its first call on."""
    words = [*strace_words(log, paths, inject), "-D", sys.executable]
    script = log.with_suffix(".sh")
    script.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in words) + ' "$@"\n')
    script.chmod(0o755)
    nodes.spawn(name, program=script)


def until_written(log: Path) -> None:
    """Wait until strace has written its log to the end, after its process ended."""
    size = -1

    def settled() -> bool:
        nonlocal size
        before, size = size, log.stat().st_size if log.exists() else 0
        return before == size and size > 0

    until(settled, f"the end of {log}", pause_s=0.05)
