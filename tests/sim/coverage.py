"""Which lines of the engines, and which refusals of the node, simulations take.

`python -m tests.sim.coverage --seeds 200` prints every line of the engines and every refusal of
the node that no seed came to, nor one of the networks that provoke them. All must be taken but for
those in `EXCUSED`: with this the campaign shows that each transition and each refusal happens.
"""

import argparse
import ast
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.sim import campaign
from tests.sim.nodes.refusals import provoke
from tests.sim.nodes.scenario import ENGINES

ROOT = Path(__file__).resolve().parents[2]
ENGINE_FILES = tuple(
    str(ROOT / "consensus" / name)
    for name in (
        "block_book.py",
        "block_tree.py",
        "catch_up.py",
        "height_state.py",
        "poa.py",
        "pos.py",
        "pow.py",
        "round_state.py",
        "rules.py",
        "tendermint.py",
        "validator_set.py",
        "vote_keeper.py",
        "waiting_room.py",
        "work.py",
    )
)
NODE_FILES = tuple(
    str(ROOT / "node" / name)
    for name in (
        "block_pool.py",
        "block_work.py",
        "chain.py",
        "driver.py",
        "gossip.py",
        "inbox.py",
        "ledger/certificate.py",
        "ledger/chain_rules.py",
        "ledger/execution.py",
        "mempool.py",
        "peer_guard.py",
        "signer.py",
        "store.py",
        "sync.py",
        "vote_guard.py",
    )
)
EXCUSED = (
    "raise EngineMisuse",
    "raise InvariantViolation",
    "return NotImplemented",
)
"""Lines that no input of a network can reach: the driver would have to break its contract."""
EXCUSED_LINES = {
    # The driver gives nothing to an engine between what it finalised and the next height, so that
    # the tip stands on what became final.
    ("consensus/pow.py", "self._tip = tree.root"),
    # The work gate lets no block through whose seal proves nothing; block sync asks it too.
    ("consensus/pow.py", "elif not event.work:"),
    # Nobody but the driver seals, and it gives up a search before it adopts another branch.
    ("consensus/pow.py", "if built is None or event.work != self._needed(self._tip):"),
    # The root was compared with this header's a line before.
    ("node/chain.py", "if found is None:"),
    # The certificate of the parent was decoded before, within the same bound.
    ("node/ledger/chain_rules.py", "if len(body.last_commit) > MAX_CERTIFICATE_BYTES:"),
    # A node knows the validators of all heights from genesis, or from the snapshot's chain, on.
    ("node/ledger/chain_rules.py", "if validators is None:"),
    # The proposer was found among the validators, and each of them is a member.
    ("node/ledger/execution.py", "if data is None:"),
    # The gossip asks first whether a transaction waits here, and one that is undone does not.
    ("node/mempool.py", "if standing.id == transaction.id:"),
    # Locks of real files between real processes: `tests/node/test_vote_guard.py` takes them.
    ("node/vote_guard.py", "if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):"),
    ("node/vote_guard.py", "raise AlreadyOpen("),
    (
        "node/vote_guard.py",
        "if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():",
    ),
}
"""The heads of branches that are the engine's own second guard; their next lines are excused."""
EXCUSED_FUNCTIONS = ("__repr__", "__eq__")

Taken = set[tuple[str, int]]


class Tracer:
    """Notes the lines of some files that are executed."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self._files = frozenset(files)
        self._left: dict[CodeType, set[int]] = {}
        self.taken: Taken = set()

    def __enter__(self) -> "Tracer":
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _on_call(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            is_watched = code.co_filename in self._files
            left = {line for *_, line in code.co_lines() if line} if is_watched else set()
            left.discard(code.co_firstlineno)
            self._left[code] = left
        return self._on_line if left else None  # what was all taken is left in peace

    def _on_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            code = frame.f_code
            self._left[code].discard(frame.f_lineno)
            self.taken.add((code.co_filename, frame.f_lineno))
        return self._on_line


def lines_of(path: str) -> dict[int, str]:
    """Return the text of every line within a function of a file that can be executed."""
    source = Path(path).read_text(encoding="utf-8")
    texts = source.splitlines()
    found: dict[int, str] = {}
    documentation = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }

    def walk(code: CodeType, *, is_function: bool) -> None:
        if is_function and code.co_name not in EXCUSED_FUNCTIONS:
            for _, _, line in code.co_lines():
                if line and line != code.co_firstlineno and line not in documentation:
                    found[line] = texts[line - 1].strip()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                walk(constant, is_function=bool(constant.co_flags & 0x1))

    walk(compile(source, path, "exec"), is_function=False)
    return found


_tracers: dict[tuple[str, ...], Tracer] = {}


def trace_seed(task: tuple[str, int | str], *, files: tuple[str, ...]) -> tuple[Taken, str]:
    """Run a seed, or the refusals of an engine; return what this process took so far, and failure.

    What is taken is (file, line).
    """
    tracer = _tracers.setdefault(files, Tracer(files))
    kind, what = task
    with tracer:
        if isinstance(what, int):
            return tracer.taken, campaign.run_seed((kind, what), engine=None, plant=None).failure
        try:
            provoke(what)
        except Exception as failure:
            return tracer.taken, f"{type(failure).__name__}: {failure}"
    return tracer.taken, ""


def missed_lines(taken: Taken, files: tuple[str, ...]) -> list[str]:
    """Return the lines that were not taken and are not excused, with their places."""
    missed: list[str] = []
    for path in files:
        name = str(Path(path).relative_to(ROOT))
        before = ""
        for line, text in sorted(lines_of(path).items()):
            is_excused = text.startswith(EXCUSED) or {(name, text), (name, before)} & EXCUSED_LINES
            if (path, line) not in taken and not is_excused:
                missed.append(f"{name}:{line}: {text}")
            before = text
    return missed


def main(arguments: list[str]) -> int:
    """Trace a campaign; exit status 1 if it leaves a line of the engines or a refusal out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kind", choices=("all", *campaign.KINDS), default="all")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("no seeds take no lines; give --seeds 1 or more")
    kinds = campaign.KINDS if options.kind == "all" else (options.kind,)
    files = ENGINE_FILES if options.kind == "engine" else ENGINE_FILES + NODE_FILES
    tasks: list[tuple[str, int | str]] = [
        (kind, seed) for seed in range(options.seeds) for kind in kinds
    ]
    if files != ENGINE_FILES:
        tasks = [*(("refusals", engine) for engine in ENGINES), *tasks]
    taken: Taken = set()
    failures = 0
    progress = campaign.Progress(len(tasks))
    with multiprocessing.Pool(options.jobs) as pool:
        work = partial(trace_seed, files=files)
        for done, (lines, failure) in enumerate(pool.imap_unordered(work, tasks), 1):
            taken |= lines
            failures += bool(failure)
            if failure:
                print(f"\n{failure[:300]}", flush=True)
            progress.failing = failures
            progress.show(done)
    print()
    missed = missed_lines(taken, ENGINE_FILES)
    count = sum(len(lines_of(path)) for path in ENGINE_FILES)
    print(f"engines: {count - len(missed)} of {count} lines taken; left out:")
    print("\n".join(f"  {line}" for line in missed) or "  none")
    if files == ENGINE_FILES:
        return 1 if missed or failures else 0
    refusals = [line for line in missed_lines(taken, NODE_FILES) if ": raise " in line]
    print("node: refusals that did not happen:")
    print("\n".join(f"  {line}" for line in refusals) or "  none")
    return 1 if missed or refusals or failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
