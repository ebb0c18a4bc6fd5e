"""Inputs of the vectors for certificates: steps in a small network, from a meter to a retirement.

The network is that of `tests/market/certificates/certificate_world.py`: members A to E with meters,
a roof of 8 kW at A, a mill of 40 kW at B whose certificates are E's, certificates of 1 kWh, hour by
hour. A key of the state is in the output if it begins with `C`.
"""

from __future__ import annotations

from tests.market.certificates.certificate_world import CertificateWorld
from tests.vectors.kinds import Json, to_json
from tests.vectors.primitive_inputs import Inputs

ISSUED: list[Json] = [["flow", "B", 0, [["3.5", "0"]]], ["hours", 1]]


def run_certificates(case: dict[str, Json]) -> Json:
    """From steps to what the module told, and its leaves."""
    world = CertificateWorld()
    for what, *arguments in case["steps"]:
        if what == "flow":
            name, place, energies = arguments
            world.flow(name, place, *[tuple(each) for each in energies])
        elif what in ("hours", "final"):
            (world.hours if what == "hours" else world.final)(*arguments)
        else:
            caller, *values = arguments
            world.do(caller, what, *[_value(world, value) for value in values])
    world.commit()
    return {
        "told": [
            [name, *[to_json(value) for value in values]]  # type: ignore[arg-type]
            for module, name, values in world.events
            if module == "certificates"
        ],
        "state": {
            key.hex(): value.hex()
            for key, value in sorted(world.state.values.items())
            if key[:1] == b"C"
        },
    }


def certificate_inputs() -> Inputs:
    """Whole lives of certificates; refused is the last step of each of the others."""
    accepted: list[Json] = [
        {"name": "before anything", "steps": []},
        {"name": "issued, and a fraction carried", "steps": ISSUED},
        {
            "name": "no more than the capacity, and two hours in one lot",
            "steps": [
                ["flow", "A", 0, [["9", "0"]]],
                ["hours", 1],
                ["flow", "A", 4, [["0.4", "0"]]],
                ["hours", 2],
                ["flow", "A", 8, [["0.7", "0"]]],
                ["hours", 3],
            ],
        },
        {
            "name": "read late, and credited when final",
            "steps": [["hours", 1], ["flow", "A", 0, [["1.9", "0"]]], ["final", 1]],
        },
        {
            "name": "given, retired for a member and for somebody named",
            "steps": [
                *ISSUED,
                ["transfer", "E", 1, 2, "@C"],
                ["retire", "C", 2, 1, "@D", "tea"],
                ["retire", "E", 1, 1, "Bakery", "bread"],
            ],
        },
        {"name": "expired", "steps": [*ISSUED, ["hours", 80]]},
        {
            "name": "a plant handed over, closed, and followed by another",
            "steps": [
                ["set_owner", "E", "mill", "@C"],
                ["close", "O", "mill"],
                ["register", "O", "tower", "@D", "@B", "wind", 9_000],
            ],
        },
        {
            "name": "coins lost and covered by a retired certificate",
            "steps": [
                ["enrol", "C"],
                *ISSUED,
                ["retire", "E", 1, 1, "@C", ""],
                ["flow", "C", 8, [["0", "1.5"]]],
                ["final", 3],
                ["leave", "C"],
            ],
        },
    ]
    return accepted, _refused_inputs()


def _refused_inputs() -> list[Json]:
    last: list[list[Json]] = [
        ["transfer", "C", 1, 1, "@D"],
        ["transfer", "E", 1, 4, "@D"],
        ["transfer", "E", 2, 1, "@D"],
        ["retire", "C", 1, 1, "x", ""],
        ["retire", "E", 1, 4, "x", ""],
        ["retire", "E", 1, 0, "x", ""],
        ["register", "A", "x", "@C", "@C", "solar", 1],
        ["register", "O", "roof", "@C", "@C", "solar", 1],
        ["register", "O", "x", "@C", "@A", "solar", 1],
        ["register", "O", "x", "@C", "@C", "coal", 1],
        ["close", "O", "x"],
        ["set_owner", "A", "mill", "@A"],
        ["leave", "C"],
    ]
    refused: list[Json] = [
        {"name": f"{step[0]} {number}", "steps": [*ISSUED, step]}
        for number, step in enumerate(last)
    ]
    twice = ["retire", "E", 1, 3, "x", ""]
    refused.append({"name": "retired twice", "steps": [*ISSUED, twice, twice]})
    return refused


def _value(world: CertificateWorld, value: Json) -> Json:
    """Return an argument: `@C` is the account of C."""
    if isinstance(value, str) and value.startswith("@"):
        return world.ids[value[1:]]
    return value
