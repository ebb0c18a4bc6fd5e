"""The routes of auctions, charging quotas and demand response, and of what modules told."""

from __future__ import annotations

from typing import Final

from node.api import auction_pages, event_search, quota_pages, response_pages
from node.api.parameters import CURSOR, HEIGHT, LIMIT, NAME, WHO, Parameter
from node.api.routes import BASE, Route
from node.api.schemas import ref

_LIMIT: Final = Parameter("limit", LIMIT, "At most so many entries.", default=50)
_BEFORE: Final = Parameter("before", CURSOR, "Only what came before this place.")
_AUCTION: Final = Parameter("auction", NAME, "The auction.")
_NUMBER: Final = Parameter("number", HEIGHT, "Its number.")
_UNKNOWN_AUCTION: Final = "No such auction, or no such member."
_SEARCHED: Final = "`next` is the `before` to go on with, also where few were found."

MARKET_DAY_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/auctions",
        "auctions",
        "The call auctions of this network and their terms.",
        ref("Auctions"),
        auction_pages.list_auctions,
    ),
    Route(
        "GET",
        f"{BASE}/auctions/{{auction}}/intervals",
        "auctionIntervals",
        "The delivery intervals in whose books orders stand, the next first, with their gates; "
        "`next` is the `after` to go on with.",
        ref("AuctionIntervals"),
        auction_pages.list_intervals,
        (_AUCTION, _LIMIT, Parameter("after", HEIGHT, "Only later intervals.")),
        {404: _UNKNOWN_AUCTION},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/auctions/{{auction}}/intervals/{{interval}}",
        "auctionBook",
        "The book of one interval: open orders with their steps, and commitments with what covers "
        "them; `next` is the `after` to go on with.",
        ref("AuctionBook"),
        auction_pages.show_book,
        (
            _AUCTION,
            Parameter("interval", HEIGHT, "The delivery interval."),
            Parameter("member", WHO, "Only orders of this member."),
            _LIMIT,
            Parameter("after", HEIGHT, "Only orders with a higher number."),
        ),
        {404: _UNKNOWN_AUCTION},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/auctions/{{auction}}/clearings",
        "auctionClearings",
        "What the auction cleared, the newest first: volume, prices in half micro-tokens per kWh, "
        "over a feeder those of its buses with the flows of its lines; with `member` also what "
        f"that member's orders came to (`awards`). {_SEARCHED}",
        ref("Clearings"),
        auction_pages.list_clearings,
        (_AUCTION, Parameter("member", WHO, "Whose awards."), _LIMIT, _BEFORE),
        {404: _UNKNOWN_AUCTION},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/quotas",
        "quotas",
        "The terms of charging quotas (null where the network has none), and their rounds, the "
        "newest first; `next` is the `before` to go on with.",
        ref("Quotas"),
        quota_pages.list_quota_rounds,
        (_LIMIT, Parameter("before", HEIGHT, "Only rounds with a lower number.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/quotas/{{number}}",
        "quotaRound",
        "A round of charging quotas with its stations: demands, quotas, orders and readings.",
        ref("ShownQuotaRound"),
        quota_pages.show_quota_round,
        (_NUMBER,),
        {404: "No such round, or one that is over and whose deposits are back."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/response/rounds",
        "responseRounds",
        "The terms of demand response (null where the network has none), and its rounds of two "
        "settlements that are not over, the oldest first; `next` is the `after` to go on with.",
        ref("ResponseRounds"),
        response_pages.list_response_rounds,
        (_LIMIT, Parameter("after", HEIGHT, "Only rounds with a higher number.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/response/rounds/{{number}}",
        "responseRound",
        "A round of two settlements with its members' orders and what they give up.",
        ref("ShownResponseRound"),
        response_pages.show_response_round,
        (_NUMBER,),
        {404: "No such round, or one that is over."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/response/events",
        "responseEvents",
        "Calls for another demand that are not settled, the oldest first; `next` is the `after` to "
        "go on with.",
        ref("ResponseEvents"),
        response_pages.list_response_events,
        (_LIMIT, Parameter("after", HEIGHT, "Only events with a higher number.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/response/events/{{number}}",
        "responseEvent",
        "A call for another demand, with who promised how much of it and what meters showed.",
        ref("ShownResponseEvent"),
        response_pages.show_response_event,
        (_NUMBER,),
        {404: "No such event, or one that is settled."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/modules/{{module}}/events",
        "moduleEvents",
        f"What a module told, by transactions and by itself, the newest first. {_SEARCHED}",
        ref("ModuleEvents"),
        event_search.list_module_events,
        (
            Parameter("module", NAME, "The module."),
            Parameter("event", NAME, "Only events of this name."),
            _LIMIT,
            _BEFORE,
        ),
        {404: "No such module, or no such event of any."},
        searches=True,
    ),
)
