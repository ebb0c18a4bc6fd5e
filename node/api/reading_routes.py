"""The routes of meters."""

from __future__ import annotations

from typing import Final

from node.api import reading_pages
from node.api.parameters import HEIGHT, LIMIT, WHO, Parameter
from node.api.routes import BASE, Route
from node.api.schemas import ref

_WHO: Final = Parameter("who", WHO, "The member whose connection was measured.")
_LIMIT: Final = Parameter("limit", LIMIT, "At most so many intervals.", default=96)
_UNKNOWN: Final = "No such account, or a network without meters."

READING_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/readings",
        "readings",
        "What all connections moved together in closed intervals, the newest first, as it was when "
        "they closed; null where too few made it up to hide a single one. `next` is the `before` "
        "to go on with.",
        ref("Sums"),
        reading_pages.list_sums,
        (_LIMIT, Parameter("before", HEIGHT, "Only earlier intervals.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/readings/{{who}}",
        "memberReadings",
        "A member's readings, the latest or from `first` on: for requests signed by the member, "
        "its meter, whom it allowed, its DSO or auditors. `next` is the `first` to go on with.",
        ref("Readings"),
        reading_pages.list_readings,
        (_WHO, _LIMIT, Parameter("first", HEIGHT, "The first interval.")),
        {404: _UNKNOWN},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/proofs/reading/{{who}}/{{interval}}",
        "provenReading",
        "A member's reading with a proof against the last final header, for the same requests.",
        ref("ReadingProof"),
        reading_pages.prove_reading,
        (_WHO, Parameter("interval", HEIGHT, "The delivery interval.")),
        {404: f"{_UNKNOWN} Or an interval without energy.", 409: "Nothing proves the last block."},
    ),
)
