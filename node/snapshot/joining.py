"""Joining by snapshot: finds one that is proved, fetches its chunks from several peers, moves in.

Nothing is believed: the header by its certificate and the validators followed from genesis, the
outline by the header's state root, each chunk by the outline. Who gives what does not hold is
dropped and passed over, and the others are asked. What is proved stays on disk, so that a join
that was cut short goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from node.chain import Chain
from node.data_folder import remove_joining
from node.disk import Disk
from node.ledger.block import Header, decode_header
from node.ledger.proof_paths import TrustedBlock
from node.p2p.service import PeerService
from node.snapshot.format import Manifest, decode_manifest, read_chunk, read_outline
from node.snapshot.proof import ValidatorPath
from node.snapshot.staging import Staging
from node.snapshot.wire import (
    CHANGES,
    CHUNK,
    GET_CHANGES,
    GET_CHUNK,
    GET_HEADER,
    GET_SNAPSHOTS,
    HEADER,
    OUTLINE_PATH,
    SNAPSHOTS,
    decode_changes,
    decode_offers,
    decode_part,
    encode_number,
    encode_part_request,
)
from node.threads import run_to_end
from vm.primitives.errors import BitenergyError, InvalidProof

_log = logging.getLogger("bitenergy.snapshot")

ANSWER_DEADLINE_S: Final = 30.0
SILENT_S: Final = 3.0
"""After this long without an answer another source is asked for the same chunk, once all the rest
are here or asked for."""
OFFER_WAIT_S: Final = 1.0
"""How often peers are asked for snapshots while there is none to fetch."""
PATIENCE_S: Final = 30.0
"""How long nobody may offer one before the chain is fetched block by block."""
PASSED_OVER_S: Final = 60.0
MAX_SOURCES: Final = 4
REQUESTS_PER_SOURCE: Final = 2

_Answer = tuple[bytes, int, str]
"""Who is to answer, by which kind of message, about which path."""


class _Unreliable(Exception):
    """A source gave nothing, or what does not hold."""

    def __init__(self, peer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.peer = peer


# mutable: gathers what is still to fetch
@dataclass(slots=True)
class _Download:
    """A snapshot being fetched."""

    staging: Staging
    chunks: dict[str, bytes]
    todo: list[str]
    """Paths of chunks that nobody is asked for."""
    asked: dict[str, dict[bytes, float]] = field(default_factory=dict)
    """By path of a chunk that is not here: who is asked for it, and since when."""
    _proved: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Whether every chunk is here."""
        return not self.todo and not self.asked

    def find(self, peer: bytes, now_s: float) -> str | None:
        """Return what to ask a peer for: nobody's chunk, else one that others do not give."""
        if self.todo:
            return self.todo[-1]
        for path, peers in self.asked.items():
            if peer not in peers and now_s - max(peers.values()) >= SILENT_S:
                return path
        return None

    def ask(self, path: str, peer: bytes, now_s: float) -> None:
        """Note that a peer is asked."""
        if path not in self.asked:
            self.todo.remove(path)
        self.asked.setdefault(path, {})[peer] = now_s

    def give_up(self, path: str, peer: bytes) -> None:
        """Note that a peer does not give a chunk."""
        peers = self.asked.get(path, {})
        peers.pop(peer, None)
        if path in self.asked and not peers:
            del self.asked[path]
            self.todo.append(path)

    def is_first(self, path: str) -> bool:
        """Tell whether a proved chunk is the first that came of its path."""
        first = path not in self._proved
        self._proved.add(path)
        return first


class SnapshotJoin:
    """Brings an empty chain to the state of a proved snapshot."""

    def __init__(
        self,
        chain: Chain,
        peers: PeerService,
        data: Path,
        *,
        disk: Disk,
        trusted: TrustedBlock | None,
        move_in: Callable[[], asyncio.Future[None]],
    ) -> None:
        """`move_in` has the chain go on from the joined database, between two inputs."""
        self._chain = chain
        self._peers = peers
        self._data = data
        self._disk = disk
        self._trusted = trusted
        self._move_in = move_in
        self._answers: dict[_Answer, asyncio.Future[bytes]] = {}
        self._offers: dict[bytes, tuple[Manifest, ...]] = {}
        self._passed_over: dict[bytes, float] = {}
        self._writing = asyncio.Lock()
        self.is_joining = False
        self.chunks_total = 0
        self.chunks_here = 0

    def peer_gone(self, peer: bytes) -> None:
        """Forget a peer: nobody waits for its answers any more."""
        self._offers.pop(peer, None)
        for (who, _, _), answer in self._answers.items():
            if who == peer and not answer.done():
                answer.set_result(b"")

    def on_message(self, peer: bytes, kind: int, payload: bytes) -> None:
        """Take an answer; what nobody asked for is dropped. Raises BitenergyError on a bad one."""
        if kind == SNAPSHOTS:
            if self.is_joining:
                self._offers[peer] = tuple(map(decode_manifest, decode_offers(payload)))
            return
        path = ""
        if kind == CHUNK:
            height, path, data = decode_part(payload)
            path, payload = f"{height}/{path}", data
        answer = self._answers.get((peer, kind, path))
        if answer is not None and not answer.done():
            answer.set_result(payload)

    async def run(self) -> None:
        """Join; return when the chain stands on a snapshot, or must be fetched block by block."""
        self.is_joining = True
        try:
            while self._chain.height == 0:
                found = await self._find()
                if found is None:
                    if self._chain.height == 0:
                        _log.warning("nobody offers a snapshot: joining block by block")
                    return
                try:
                    await self._join(*found)
                except _Unreliable as error:
                    self._drop(error.peer, str(error))
        finally:
            self.is_joining = False
            self._offers.clear()
        # What is left of it is of no use to a chain that goes on.
        await run_to_end(partial(remove_joining, self._data, self._disk))

    # --- choosing ----------------------------------------------------------------------------

    async def _find(self) -> tuple[Manifest, bytes] | None:
        """Return the best snapshot offered, and one who offers it; None if nobody does."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + PATIENCE_S
        begun = await run_to_end(partial(Staging.load_manifest, self._data, self._disk))
        while loop.time() < end_s and self._chain.height == 0:
            self._ask_offers()
            await asyncio.sleep(OFFER_WAIT_S)
            offers = {
                peer: manifests
                for peer, manifests in self._offers.items()
                if self._passed_over.get(peer, 0.0) <= loop.time()
            }
            if begun is not None:
                for peer, manifests in offers.items():
                    if any(self._is_same(begun, item) for item in manifests):
                        return begun, peer
            every = [
                (item.header.height, peer, item)
                for peer in offers
                for item in offers[peer]
                if item.certificate or self._is_trusted(item)
            ]
            if every:
                _, peer, manifest = max(every, key=lambda entry: entry[:2])
                return manifest, peer
        return None

    def _ask_offers(self) -> None:
        for peer in self._peers.peers():
            self._peers.send(peer.key, GET_SNAPSHOTS, b"")

    def _sources(self, manifest: Manifest) -> list[bytes]:
        """Return who offers a snapshot and may be asked."""
        now_s = asyncio.get_running_loop().time()
        return [
            peer
            for peer, offered in self._offers.items()
            if self._passed_over.get(peer, 0.0) <= now_s
            and any(self._is_same(item, manifest) for item in offered)
        ]

    def _is_trusted(self, manifest: Manifest) -> bool:
        """Tell whether a snapshot is of the trusted block itself: it then needs no certificate."""
        return self._trusted is not None and manifest.header.block_id() == self._trusted.block_id

    @staticmethod
    def _is_same(one: Manifest, other: Manifest) -> bool:
        """Tell whether the chunks of two snapshots are the same; certificates may differ."""
        return (one.header, one.depth) == (other.header, other.depth)

    # --- proving -----------------------------------------------------------------------------

    async def _join(self, manifest: Manifest, peer: bytes) -> None:
        """Fetch one snapshot and move in; raises _Unreliable."""
        path, below = await self._prove_head(manifest, peer)
        data = await self._ask_part(peer, manifest, OUTLINE_PATH)
        try:
            chunks = read_outline(data, manifest.header.state_root, manifest.depth)
        except BitenergyError as error:
            raise _Unreliable(peer, f"its outline does not hold: {error}") from error
        staging = await run_to_end(partial(Staging, self._data, manifest, self._disk))
        try:
            todo = sorted(chunks.keys() - staging.slots.keys())
            _log.info(
                "joining by snapshot",
                extra={"height": manifest.header.height, "chunks": len(chunks), "todo": len(todo)},
            )
            self.chunks_total, self.chunks_here = len(chunks), len(chunks) - len(todo)
            await self._fetch_all(_Download(staging, chunks, todo))
            await self._prove_history(staging, path, peer)
            genesis = self._chain.store.head_bytes(0)
            if genesis is None:
                raise InvalidProof("block 0 is missing")
            validators = self._chain.validators
            finish = partial(staging.finish, self._chain.runtime_at, genesis, validators)
            await run_to_end(partial(finish, path.changes, below))
        except BaseException:
            staging.close()
            raise
        await self._move_in()
        if self._chain.block_id == manifest.header.block_id():
            _log.info("joined", extra={"height": self._chain.height, "block": self._chain.block_id})

    async def _prove_head(self, manifest: Manifest, peer: bytes) -> tuple[ValidatorPath, bytes]:
        """Return the validators' path to a snapshot's header, which is final by it.

        Where work decides, the header is the trusted one, and the header below it comes along: the
        difficulty of the next block follows from both.
        """
        genesis = self._chain.store.head(0)
        if genesis is None:
            raise InvalidProof("block 0 is missing")
        path = ValidatorPath(genesis.header, self._chain.validators)
        below = b""
        try:
            if not manifest.certificate:
                path.validate_head(manifest, self._trusted, None)
                number = encode_number(manifest.header.height - 1)
                below = await self._ask(peer, GET_HEADER, HEADER, number)
                if decode_header(below).block_id() != manifest.header.parent:
                    raise InvalidProof("the header below the snapshot's is another one")
                return path, below
            while path.height < manifest.header.height:
                answer = await self._ask(peer, GET_CHANGES, CHANGES, encode_number(path.height))
                changes = [
                    change
                    for change in decode_changes(answer)
                    if decode_header(change.header).height < manifest.header.height
                ]
                for change in changes:
                    await asyncio.to_thread(path.follow, change)
                if not changes:
                    break
            pinned: Header | None = None
            if self._trusted is not None:
                number = encode_number(self._trusted.height)
                pinned = decode_header(await self._ask(peer, GET_HEADER, HEADER, number))
            path.validate_head(manifest, self._trusted, pinned)
        except BitenergyError as error:
            raise _Unreliable(peer, f"its snapshot is not proved: {error}") from error
        return path, below

    async def _prove_history(self, staging: Staging, path: ValidatorPath, peer: bytes) -> None:
        """Raise _Unreliable if `peer` did not tell of all changes; the chunks stay as they are."""
        if not staging.manifest.certificate:
            return  # nobody votes here, so nobody judges votes
        history = await run_to_end(staging.read_history)
        try:
            path.validate_history(staging.manifest.header, history)
        except BitenergyError as error:
            raise _Unreliable(peer, f"its snapshot is not proved: {error}") from error

    # --- fetching ----------------------------------------------------------------------------

    async def _fetch_all(self, download: _Download) -> None:
        """Fetch every chunk from all who offer the snapshot; raises _Unreliable if nobody is left.

        Those who come to offer it later are asked too.
        """
        manifest, loop = download.staging.manifest, asyncio.get_running_loop()
        workers: dict[asyncio.Task[None], bytes] = {}
        try:
            while not download.is_over:
                busy, now_s = list(workers.values()), loop.time()
                for peer in self._sources(manifest)[:MAX_SOURCES]:
                    if download.find(peer, now_s) is not None:
                        for _ in range(REQUESTS_PER_SOURCE - busy.count(peer)):
                            fetching = self._fetch_from(peer, download)
                            workers[asyncio.ensure_future(fetching)] = peer
                if not workers:
                    raise _Unreliable(b"", "nobody offers this snapshot any more")
                done, _ = await asyncio.wait(
                    workers, timeout=OFFER_WAIT_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in [worker for worker in workers if worker in done]:
                    del workers[task]
                    error = task.exception()
                    if isinstance(error, _Unreliable):
                        self._drop(error.peer, str(error))
                    elif error is not None:
                        raise error
                if not done:
                    self._ask_offers()
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _fetch_from(self, peer: bytes, download: _Download) -> None:
        """Fetch chunks from one peer until there is none to ask it for."""
        manifest, loop = download.staging.manifest, asyncio.get_running_loop()
        while (path := download.find(peer, loop.time())) is not None:
            download.ask(path, peer, loop.time())
            try:
                data = await self._ask_part(peer, manifest, path)
                try:
                    chunk = await asyncio.to_thread(read_chunk, data, path, download.chunks[path])
                except BitenergyError as error:
                    raise _Unreliable(peer, f"a chunk does not hold: {error}") from error
            except BaseException:
                download.give_up(path, peer)
                raise
            if download.is_first(path):
                async with self._writing:
                    await run_to_end(partial(download.staging.add, path, chunk))
                del download.asked[path]
                self.chunks_here += 1

    async def _ask_part(self, peer: bytes, manifest: Manifest, path: str) -> bytes:
        height = manifest.header.height
        request = encode_part_request(height, path)
        return await self._ask(peer, GET_CHUNK, CHUNK, request, f"{height}/{path}")

    async def _ask(
        self, peer: bytes, kind: int, answer_kind: int, payload: bytes, path: str = ""
    ) -> bytes:
        """Return a peer's answer; raises _Unreliable where it gives none."""
        key = (peer, answer_kind, path)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[key] = answer
        try:
            if not self._peers.send(peer, kind, payload):
                raise _Unreliable(peer, "it cannot be asked")
            found = await asyncio.wait_for(answer, ANSWER_DEADLINE_S)
        except TimeoutError as error:
            raise _Unreliable(peer, "it did not answer in time") from error
        finally:
            self._answers.pop(key, None)
        if not found:
            raise _Unreliable(peer, "it has not got what it offers")
        return found

    def _drop(self, peer: bytes, reason: str) -> None:
        _log.warning("a snapshot's source is dropped", extra={"peer": peer, "reason": reason})
        self._passed_over[peer] = asyncio.get_running_loop().time() + PASSED_OVER_S
        self._offers.pop(peer, None)
        self._peers.drop(peer, reason)
