"""A chain in memory that keeps why its blocks are final, and the API that a node makes of it."""

from __future__ import annotations

import base64
from collections.abc import Callable

from node.ledger.certificate import encode_certificate
from node.ledger.chain_rules import Candidate
from node.ledger.proofs import AccountProof, Finality, TransactionProof, prove_state
from tests.ledger.support import Chain, genesis_document, id_of
from tests.tools.fake_node import FakeNode
from vm.primitives.address import encode_address
from vm.primitives.merkle import merkle_proof
from vm.system.accounts import account_key
from vm.system.members import NAME_SPACE
from vm.system.validators import VALIDATORS_KEY

DOCUMENT = genesis_document()
DOCUMENT["members"] = [
    {name: value for name, value in member.items() if name not in ("node_key", "node_proof")}
    for member in DOCUMENT["members"]  # type: ignore[attr-defined]
]


class ProvingChain(Chain):
    """A chain that keeps of each height why it is final."""

    def __init__(self) -> None:
        super().__init__(members=DOCUMENT["members"])
        data = self.parent.state.get(VALIDATORS_KEY) or b""
        self.finality: dict[int, Finality] = {0: Finality(self.first.header.encode(), b"", data)}
        self.blocks: dict[int, Candidate] = {}

    def extend(self, count: int = 1, *transactions: object) -> None:
        """Grow by `count` blocks, the first with the transactions."""
        for number in range(count):
            # Those who decide a block are the validators of the state before it.
            data = self.parent.state.get(VALIDATORS_KEY) or b""
            block = self.build(transactions if number == 0 else ()).candidate  # type: ignore[arg-type]
            certificate = self.certify(block)
            self.grow(*(transactions if number == 0 else ()))  # type: ignore[arg-type]
            self.blocks[block.header.height] = block
            self.finality[block.header.height] = Finality(
                block.header.encode(), encode_certificate(certificate), data
            )

    def proof(self, key: bytes) -> AccountProof:
        """Return the proof of what the last state holds at `key`."""
        finality = self.finality[self.parent.header.height]
        tree = prove_state(self.parent.state.page, key)
        return AccountProof(finality, key, self.state.get(key), tree)

    def transaction_proof(self, height: int, number: int = 0) -> TransactionProof:
        """Return the proof of a transaction of the block at `height`."""
        block = self.blocks[height]
        executed, chosen = block.executed, block.transactions[number]
        receipts = [receipt.encode() for receipt in executed.receipts]
        place = executed.first_transaction + number
        return TransactionProof(
            self.finality[height],
            chosen.raw,
            merkle_proof([each.id for each in block.transactions], number),
            receipts[place],
            merkle_proof(receipts, place),
        )

    def changes(self) -> tuple[Finality, ...]:
        """Return the final headers after which the validators were others."""
        return tuple(
            self.finality[height]
            for height, block in self.blocks.items()
            if block.header.validators != block.header.next_validators
        )


class ProvingNode:
    """The chain behind a pretended API."""

    def __init__(self, fake: FakeNode, chain: ProvingChain) -> None:
        self.fake = fake
        self.chain = chain
        self.change: Callable[[AccountProof], AccountProof] = lambda proof: proof
        self.named: Callable[[AccountProof], AccountProof] = lambda proof: proof
        fake.genesis = chain.genesis.digest
        fake.routes["/genesis/document"] = lambda _: (200, DOCUMENT)
        fake.answer = self.answer  # type: ignore[method-assign]

    def answer(self, method: str, path: str, query: dict[str, str], body: object) -> object:
        """Answer for proofs and headers; the rest is the fake's."""
        if path.startswith("/proofs/account/"):
            who = path.rpartition("/")[2]
            names = {encode_address(id_of(name)): name for name in ("P1", "P2", "Op")}
            key = account_key(id_of(names.get(who, who)))
            data = self.change(self.chain.proof(key)).encode()
            name = self.named(self.chain.proof(NAME_SPACE + who.encode())).encode()
            return 200, {
                "proof": base64.b64encode(data).decode(),
                "name_proof": None if who in names else base64.b64encode(name).decode(),
            }
        if path.startswith("/proofs/transaction/"):
            wanted = path.rpartition("/")[2]
            height, number = next(
                (height, number)
                for height, block in self.chain.blocks.items()
                for number, each in enumerate(block.transactions)
                if each.id.hex() == wanted
            )
            data = self.chain.transaction_proof(height, number).encode()
            return 200, {"proof": base64.b64encode(data).decode()}
        if path.startswith("/headers/"):
            found = self.chain.finality[int(path.rpartition("/")[2])]
            names = ("header", "certificate", "validators")
            return 200, {name: base64.b64encode(getattr(found, name)).decode() for name in names}
        return FakeNode.answer(self.fake, method, path, query, body)
