"""The table of all routes: what each takes, what it answers, and what it may refuse."""

from __future__ import annotations

from typing import Final

from node.api import (
    chain_pages,
    dispatch_pages,
    governance_pages,
    market_pages,
    member_pages,
    preview,
    stake_pages,
    submission,
)
from node.api.certificate_pages import CERTIFICATE_ROUTES
from node.api.contract_routes import CONTRACT_ROUTES
from node.api.day_routes import DAY_ROUTES
from node.api.events import TOPICS
from node.api.market_day_routes import MARKET_DAY_ROUTES
from node.api.node_routes import NODE_ROUTES
from node.api.parameters import (
    BLOCK,
    CURSOR,
    HASH,
    HEIGHT,
    LIMIT,
    NAME,
    WHO,
    Parameter,
    whole,
    words,
)
from node.api.reading_routes import READING_ROUTES
from node.api.routes import BASE, WEBSOCKET, Route
from node.api.schemas import ref

MAX_WAIT_MS: Final = 30_000

_ACCOUNT = Parameter("who", WHO, "The account.")
_UNKNOWN_ACCOUNT = "No such account, or an address that fails its checksum."
_BLOCK = Parameter("height", BLOCK, "The block.")
_LIMIT = Parameter("limit", LIMIT, "At most so many entries.", default=50)
_ID = Parameter("id", HASH, "Id of the transaction.")
_CURSOR = Parameter("before", CURSOR, "Only what came before this place.")
_MARKET = Parameter("market", NAME, "The market.")
_INTERVAL = Parameter("interval", HEIGHT, "The delivery interval; without it the open one.")
_PRUNED = "The node keeps the latest blocks alone; this one was pruned."
_UNKNOWN_BLOCK = "No such block yet."
_UNKNOWN_MARKET = "No such market."
_BODY_REFUSALS = {
    408: "The body took too long.",
    411: "The request does not state its length.",
    413: "The body is too long, or holds too many transactions.",
    415: "The body is not declared as JSON, or is compressed.",
}
_UNKNOWN_TRANSACTION = "This node knows no such transaction."

CHAIN_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/blocks",
        "blocks",
        "Final blocks, the newest first; `next` is the `before` to go on with.",
        ref("Blocks"),
        chain_pages.list_blocks,
        (_LIMIT, Parameter("before", HEIGHT, "Only blocks below this height.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/blocks/{{height}}",
        "block",
        "A block with a stretch of its transactions; `next` is the `from` to go on with. A block "
        "that is not `final` may still be undone.",
        ref("Block"),
        chain_pages.show_block,
        (
            _BLOCK,
            _LIMIT,
            Parameter("from", whole(0, 10**9), "The first transaction shown.", default=0),
            Parameter(
                "from_system",
                whole(0, 10**9),
                "The first receipt shown of what happened by itself; 100 are shown.",
                default=0,
            ),
        ),
        {404: _UNKNOWN_BLOCK, 410: _PRUNED},
        may_be_final=True,
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/headers/{{height}}",
        "header",
        "A final block's header, the certificate and the validators that decided it, as canonical "
        "bytes (the certificate of block 0 is empty) and as fields.",
        ref("SignedHeader"),
        chain_pages.show_header,
        (_BLOCK,),
        {404: _UNKNOWN_BLOCK, 410: _PRUNED},
        may_be_final=True,
    ),
    Route(
        "GET",
        f"{BASE}/transactions",
        "transactions",
        "Final transactions, the newest first; `next` is the `before` to go on with, also where "
        "few were found in the blocks that were searched.",
        ref("Transactions"),
        chain_pages.list_transactions,
        (_LIMIT, _CURSOR),
        searches=True,
    ),
    Route(
        "POST",
        f"{BASE}/preview",
        "preview",
        "What calls of a member would do to the last final state: the receipt that they would "
        "have. `calls` are canonical bytes of `[[module, method, [arguments…]]…]`. Nothing is "
        "signed, kept or told to anybody; it takes at most 500,000 gas. A sender with a meter is "
        "taken to hold energy enough.",
        ref("Receipt"),
        preview.show_preview,
        refusals=_BODY_REFUSALS | {404: _UNKNOWN_ACCOUNT},
        body=ref("Attempt"),
        searches=True,
    ),
    Route(
        "POST",
        f"{BASE}/transactions",
        "submit",
        "Hand in signed transactions: at most 1,000, in at most 4 MiB. The answer tells of each, "
        "in order, whether it waits for a block now.",
        ref("Submissions"),
        submission.submit_transactions,
        refusals=_BODY_REFUSALS,
        body=ref("Batch"),
    ),
    Route(
        "GET",
        f"{BASE}/transactions/{{id}}",
        "transaction",
        "A transaction: pending, or with its receipt included in a block that may still be undone, "
        "or final. With `wait_ms` the answer waits until it is final.",
        ref("FollowedTransaction"),
        submission.show_transaction,
        (
            _ID,
            Parameter(
                "wait_ms", whole(0, MAX_WAIT_MS), "How long to wait, milliseconds.", default=0
            ),
        ),
        {404: _UNKNOWN_TRANSACTION},
        may_be_final=True,
    ),
    Route(
        "GET",
        f"{BASE}/proofs/account/{{who}}",
        "proveAccount",
        "What the state holds of an account, or that it holds nothing, proved against the latest "
        "final header; for a name also which account it names. Of a member with a meter it is for "
        "those whom its readings concern.",
        ref("AccountProof"),
        chain_pages.prove_account,
        (_ACCOUNT,),
        {404: _UNKNOWN_ACCOUNT, 409: "No block with a certificate is final yet."},
    ),
    Route(
        "GET",
        f"{BASE}/proofs/transaction/{{id}}",
        "proveTransaction",
        "That a transaction is final and what became of it, proved against its block's header.",
        ref("TransactionProof"),
        chain_pages.prove_transaction,
        (_ID,),
        {404: _UNKNOWN_TRANSACTION, 409: "Its block has no certificate."},
        may_be_final=True,
        searches=True,
    ),
    Route(
        WEBSOCKET,
        f"{BASE}/events",
        "events",
        "A WebSocket with a message for each new block, transaction and trade; with `account` "
        "only the transactions and trades of that account. Where finality comes by depth each "
        "comes twice, first with `final` false; what was undone in between is named in a "
        "`reorganisation`, which all readers get. A reader that does not keep up is dropped.",
        ref("EventMessage"),
        None,
        (
            Parameter("topics", words(*TOPICS), "What to follow.", default=("block",)),
            Parameter("account", WHO, "Whose transactions and trades."),
        ),
        {404: _UNKNOWN_ACCOUNT, 426: "The request does not ask for a WebSocket."},
    ),
)

MEMBER_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/members",
        "members",
        "Members by name; `next` is the `after` to go on with, also where few were found.",
        ref("Members"),
        member_pages.list_members,
        (
            Parameter("role", NAME, "Only members with this role."),
            _LIMIT,
            Parameter("after", NAME, "Only names behind this one."),
        ),
        {404: "This network has no such role."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/accounts/{{who}}",
        "account",
        "An account after the latest final block; `next_nonce` counts what waits in the mempool. "
        "What energy a member with a meter holds is told to those whom its readings concern.",
        ref("Account"),
        member_pages.show_account,
        (_ACCOUNT,),
        {404: _UNKNOWN_ACCOUNT},
    ),
    Route(
        "GET",
        f"{BASE}/accounts/{{who}}/history",
        "history",
        "Transactions that touched an account, the newest first, with the money and energy that "
        "their events brought it (negative: took); `next` is the `before` to go on with, also "
        "where few were found.",
        ref("History"),
        member_pages.list_history,
        (
            _ACCOUNT,
            _LIMIT,
            _CURSOR,
            Parameter("what", NAME, "Only transactions whose first call is of this module."),
        ),
        {404: _UNKNOWN_ACCOUNT},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/accounts/{{who}}/unasked",
        "unasked",
        "What came to an account by itself, without a transaction (clearings, settlements, "
        "rewards), the newest first, with the money and energy that it brought (negative: took); "
        "`next` is the `before` to go on with, also where few were found.",
        ref("Unasked"),
        member_pages.list_unasked,
        (_ACCOUNT, _LIMIT, _CURSOR),
        {404: _UNKNOWN_ACCOUNT},
        searches=True,
    ),
)

MARKET_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/markets",
        "markets",
        "The markets of this network.",
        ref("Markets"),
        market_pages.list_markets,
    ),
    Route(
        "GET",
        f"{BASE}/markets/{{market}}/offers",
        "offers",
        "Standing offers of one interval, the cheapest first; `next` is the `after` to go on with.",
        ref("Offers"),
        market_pages.list_offers,
        (
            _MARKET,
            _INTERVAL,
            Parameter("seller", WHO, "Only offers of this member."),
            _LIMIT,
            market_pages.AFTER_OFFER,
        ),
        {404: "No such market, seller or offer."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/markets/{{market}}/trades",
        "trades",
        "Trades, the newest first; `next` is the `before` to go on with, also where few were "
        "found in the blocks that were searched.",
        ref("Trades"),
        market_pages.list_trades,
        (_MARKET, _LIMIT, _CURSOR),
        {404: _UNKNOWN_MARKET},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/markets/{{market}}/lines",
        "lines",
        "How far the limits of one interval are used.",
        ref("Lines"),
        market_pages.list_lines,
        (_MARKET, _INTERVAL),
        {404: _UNKNOWN_MARKET},
        searches=True,
    ),
)

STAKE_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/staking",
        "staking",
        "The terms of staking and of faults, and every validator that staked, strongest first.",
        ref("Staking"),
        stake_pages.show_staking,
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/stakes/{{who}}",
        "stakes",
        "What an account staked with whom, what that earned, and what is on its way out.",
        ref("Stakes"),
        stake_pages.show_stakes,
        (_ACCOUNT,),
        {404: _UNKNOWN_ACCOUNT},
        searches=True,
    ),
)

GOVERNANCE_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/proposals",
        "proposals",
        "Proposals of governance, the newest first, with who votes and which engine and module "
        "versions are in force; `next` is the `before` to go on with.",
        ref("Proposals"),
        governance_pages.list_proposals,
        (_LIMIT, Parameter("before", HEIGHT, "Only proposals with a lower number.")),
    ),
    Route(
        "GET",
        f"{BASE}/proposals/{{number}}",
        "proposal",
        "A proposal, with the votes so far as long as voting lasts.",
        ref("ShownProposal"),
        governance_pages.show_proposal,
        (Parameter("number", HEIGHT, "The proposal."),),
        {404: "No such proposal."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/blocks/{{height}}/bytes",
        "blockBytes",
        "A final block's header, certificate and body as canonical bytes; where it holds readings, "
        "for signed requests of the DSO and auditors.",
        ref("BlockBytes"),
        governance_pages.show_block_bytes,
        (_BLOCK,),
        {404: _UNKNOWN_BLOCK, 410: _PRUNED},
        may_be_final=True,
        searches=True,
    ),
)

_ROUND = Parameter("number", HEIGHT, "The round.")
_UNKNOWN_ROUND = "No such round, or one that was closed so long ago that the state has it no more."

DISPATCH_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/dispatch/areas",
        "dispatchAreas",
        "The areas in which dispatch rounds are held, with their terms and money.",
        ref("DispatchAreas"),
        dispatch_pages.list_areas,
    ),
    Route(
        "GET",
        f"{BASE}/dispatch/rounds",
        "dispatchRounds",
        "Dispatch rounds, the newest first; `next` is the `before` to go on with.",
        ref("DispatchRounds"),
        dispatch_pages.list_rounds,
        (
            Parameter("area", NAME, "Only rounds of this area."),
            Parameter("status", dispatch_pages.STATUS, "Only rounds that stand so."),
            _LIMIT,
            Parameter("before", HEIGHT, "Only rounds with a lower number."),
        ),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/dispatch/rounds/{{number}}",
        "dispatchRound",
        "A round with its problem and, once it is closed, prices, powers and flows per interval; "
        "after a fallback prices alone.",
        ref("ShownDispatchRound"),
        dispatch_pages.show_round,
        (_ROUND,),
        {404: _UNKNOWN_ROUND},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/dispatch/rounds/{{number}}/proof",
        "proveDispatch",
        "One price, power or flow of a closed round: its way to the round's root, and the round's "
        "leaf proved against the latest final header.",
        ref("DispatchProof"),
        dispatch_pages.prove_figure,
        (
            _ROUND,
            Parameter("kind", dispatch_pages.KIND, "What figure.", default="price"),
            Parameter("interval", HEIGHT, "Which interval, from 0.", default=0),
            Parameter("name", NAME, "The bus, unit or line."),
        ),
        {
            404: "No such round, or no such figure in it.",
            409: "No block with a certificate is final yet.",
        },
        searches=True,
    ),
)

ROUTES: Final = (
    *NODE_ROUTES,
    *CHAIN_ROUTES,
    *MEMBER_ROUTES,
    *STAKE_ROUTES,
    *MARKET_ROUTES,
    *MARKET_DAY_ROUTES,
    *CERTIFICATE_ROUTES,
    *DAY_ROUTES,
    *READING_ROUTES,
    *GOVERNANCE_ROUTES,
    *CONTRACT_ROUTES,
    *DISPATCH_ROUTES,
)
"""All routes, in the order in which they are described."""
