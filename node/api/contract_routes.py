"""The routes of contracts."""

from __future__ import annotations

from typing import Final

from node.api import contract_pages
from node.api.contract_pages import JSON
from node.api.parameters import CURSOR, HEIGHT, LIMIT, NAME, WHO, Parameter
from node.api.routes import BASE, Route
from node.api.schemas import ref

_CONTRACT: Final = Parameter("who", WHO, "The contract.")
_LIMIT: Final = Parameter("limit", LIMIT, "At most so many entries.", default=50)
_UNKNOWN: Final = "No such contract."


CONTRACT_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/contracts",
        "contracts",
        "Deployed contracts, the oldest first; `next` is the `after` to go on with.",
        ref("Contracts"),
        contract_pages.list_contracts,
        (_LIMIT, Parameter("after", HEIGHT, "Only contracts behind this number.", default=0)),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/contracts/{{who}}",
        "contract",
        "A contract: owner, code, interface, its source as the deployer gave it (compile it "
        "and compare to know that it is the code's), and its account.",
        ref("Contract"),
        contract_pages.show_contract,
        (_CONTRACT,),
        {404: _UNKNOWN},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/contracts/{{who}}/view/{{function}}",
        "view",
        "The result of a view on the state after the latest final block, with at most "
        "1,000,000 gas. A view that fails is answered with 400 and the code of its failure.",
        ref("ViewResult"),
        contract_pages.view_contract,
        (
            _CONTRACT,
            Parameter("function", NAME, "The view."),
            Parameter("arguments", JSON, "A list with a value for each argument.", "[]"),
            Parameter("caller", WHO, "Who the view sees as its caller."),
        ),
        {404: "No such contract or view."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/contracts/{{who}}/events",
        "contractEvents",
        "What a contract told, the newest first; `limit` counts transactions, `next` is the "
        "`before` to go on with.",
        ref("ContractEvents"),
        contract_pages.list_contract_events,
        (_CONTRACT, _LIMIT, Parameter("before", CURSOR, "Only what came before this place.")),
        {404: _UNKNOWN},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/proofs/contract/{{who}}/{{variable}}",
        "proveStorage",
        "What a contract has stored in a variable, or in a map under a key, or that there is "
        "nothing, proved against the latest final header.",
        ref("StorageProof"),
        contract_pages.prove_storage,
        (
            _CONTRACT,
            Parameter("variable", NAME, "The variable or map."),
            Parameter("key", JSON, "The key in the map; none for a variable."),
        ),
        {404: "No such contract or variable.", 409: "No block with a certificate is final."},
    ),
)
