"""The protocol page says what the code does: its tables, its bounds and its example."""

import re
from dataclasses import fields
from typing import Any

import pytest

from market.auction import records as auction_records
from market.certificates import records as certificate_records
from market.day import lines, settlement_records
from market.day import records as day_records
from market.day import results as day_results
from market.day.award_pages import Item
from market.day.gates import Gate
from market.governing import GOVERNED
from market.meters import records as meter_records
from market.quota import records as quota_records
from market.response import records as response_records
from node.ledger import (
    block,
    certificate,
    execution,
    genesis,
    proof_paths,
    proofs,
    receipt,
    transaction,
)
from tests.house.identifiers import domains, spaces, structure_types
from tests.house.source import repository_sources
from tests.ledger.support import ROLES
from tests.ledger.worked_example import BEGIN, END, PAGE, page_with, text
from tests.vectors.chain_kinds import base_runtime
from tools.board.messages import MESSAGE_TYPE
from vm import context, parameters
from vm.contract.code_format import CODE_TYPE
from vm.primitives.codec import unpack
from vm.runtime import Runtime
from vm.system import (
    accounts,
    changes,
    governance,
    members,
    stake_pool,
    staking_terms,
    validator_history,
    validators,
    voters,
)
from vm.system.governance_records import STATUS_NAMES
from vm.system.incentives import IncentivesModule
from vm.system.staking import StakingModule

TEXT = PAGE.read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.M | re.S)
    assert found, title
    return found[1]


def rows(part: str) -> list[list[str]]:
    """Return the cells of the tables of a section, without their heads."""
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for number, row in enumerate(cells) if not _is_head(cells, number)]


def _is_head(cells: list[list[str]], number: int) -> bool:
    is_rule = set("".join(cells[number])) <= {"-"}
    return is_rule or (number + 1 < len(cells) and set("".join(cells[number + 1])) <= {"-"})


def test_the_example_is_what_the_code_makes() -> None:
    assert BEGIN in TEXT and END in TEXT
    assert page_with(TEXT, text()) == TEXT, "python -m tests.ledger.worked_example writes it anew"
    assert len(text()) > 5_000


def test_tags() -> None:
    listed = {row[0].strip("`") for row in rows(section("Hashes and keys"))}
    known = [(name, is_open) for name, is_open, _ in domains(repository_sources())]
    assert listed == {f"{name}` and a name" if is_open else name for name, is_open in known}


def test_gas() -> None:
    listed = {row[0]: int(row[1]) for row in rows(section("Gas"))}
    assert listed == {
        "transaction": execution.GAS_TRANSACTION,
        "byte of a transaction": 1,
        "call": context.GAS_CALL,
        "read": context.GAS_READ,
        "write or delete": context.GAS_WRITE,
        "byte of a written value": context.GAS_BYTE,
        "scan": context.GAS_SCAN,
        "entry of a scan": context.GAS_SCAN_STEP,
        "event": context.GAS_EVENT,
        "value of an event": context.GAS_EVENT_VALUE,
        "byte of an event's texts and byte strings": context.GAS_BYTE,
    }


def test_types() -> None:
    cells = [cell for row in rows(section("Encoding")) for cell in row]
    listed = dict(zip([*cells[0::5], *cells[3::5]], [*cells[1::5], *cells[4::5]], strict=True))
    known = {
        "transaction": transaction.TRANSACTION_TYPE,
        "header": block.HEADER_TYPE,
        "body": block.BODY_TYPE,
        "commit certificate": certificate.CERTIFICATE_TYPE,
        "validators": validators.VALIDATORS_TYPE,
        "vote": certificate.VOTE_TYPE,
        "proposal": certificate.PROPOSAL_TYPE,
        "receipt": receipt.RECEIPT_TYPE,
        "evidence": certificate.EVIDENCE_TYPE,
        "account leaf": accounts.ACCOUNT_TYPE,
        "member leaf": members.MEMBER_TYPE,
        "parameters": parameters.PARAMETERS_TYPE,
        "history of the validators": validator_history.HISTORY_TYPE,
        "account proof": proofs.ACCOUNT_PROOF_TYPE,
        "transaction proof": proofs.TRANSACTION_PROOF_TYPE,
        "contract code": CODE_TYPE,
        "messages between boards": MESSAGE_TYPE,
        "a line of a bill": lines.LINE_TYPE,
        "proof with steps": proof_paths.FOLLOWED_PROOF_TYPE,
    }
    assert {name: int(number) for number, name in listed.items() if number.isdigit()} == known


def test_every_structure_type_is_listed() -> None:
    cells = [cell for row in rows(section("Encoding")) for cell in (row[0], row[3])]
    listed = [
        number
        for cell in cells
        for part in re.findall(r"(\d+)(?: to (\d+))?", cell)
        for number in range(int(part[0]), int(part[1] or part[0]) + 1)
    ]
    known = sorted(number for number, _, _ in structure_types(repository_sources()))
    assert sorted(listed) == known


def test_every_space_of_the_state_is_listed() -> None:
    known = [space.decode() for space, _, _ in spaces(repository_sources())]
    assert len(known) > 50
    assert [space for space in known if f"`{space}" not in TEXT] == []


def test_leaves_of_market_mechanisms_have_the_fields_of_the_page() -> None:
    kinds = auction_records.LEAF_TYPES | response_records.LEAF_TYPES | meter_records.LEAF_TYPES
    kinds[quota_records.QuotaTerms] = quota_records.TERMS_TYPE
    kinds[quota_records.Round] = quota_records.ROUND_TYPE
    kinds[quota_records.Station] = quota_records.STATION_TYPE
    kinds[quota_records.Debts] = quota_records.DEBT_TYPE
    known = {(number, *(field.name for field in fields(kind))) for kind, number in kinds.items()}
    found = re.findall(r"`\[(\d+), 1, (.*?)\]`", section("Market mechanisms"))
    assert {(int(number), *names.split(", ")) for number, names in found} == known


def test_leaves_of_certificates_have_the_fields_of_the_page() -> None:
    known = {
        (number, *(field.name for field in fields(kind)))
        for kind, number in certificate_records.LEAF_TYPES.items()
    }
    known.add((certificate_records.CREDIT_TYPE, "energy_milli_wh"))
    found = re.findall(r"`\[(\d+), 1, (.*?)\]`", section("Certificates"))
    assert {(int(number), *names.split(", ")) for number, names in found} == known


def test_leaves_of_day_markets_have_the_fields_of_the_page() -> None:
    known = {
        (number, *(each.name for each in fields(kind)))
        for number, kind in (
            (day_records.STANDING_TYPE, day_records.Standing),
            (day_records.BOOK_TYPE, day_records.Book),
            (settlement_records.SETTLEMENT_TYPE, settlement_records.Settlement),
            (day_results.RESULT_TYPE, day_results.GateResult),
        )
    }
    known |= {
        (settlement_records.HEAD_TYPE, *settlement_records.Head._fields),
        (settlement_records.TOTALS_TYPE, *settlement_records.Totals._fields),
        (day_results.BUS_PRICES_TYPE, *day_results.BusPrices._fields),
        (lines.LINE_TYPE, "market", "interval", "part", "account", *lines.Line._fields),
    }
    part = section("Day markets")
    found = {
        (int(number), *names.split(", "))
        for number, names in re.findall(r"`\[(\d+), 1, ([^\[\]]*)\]`", part)
    }
    assert found == known
    for names in (
        [each.name for each in fields(day_records.Position)][:-1],
        day_records.StandingOrder._fields[:5],
        day_records.StandingOrder._fields[5:],
        Gate._fields,
        Item._fields,
        lines.Contracts._fields,
        lines.Flow._fields,
        settlement_records.Record._fields,
    ):
        assert ", ".join(names) in part


def test_bounds() -> None:
    listed = {
        row[0]: re.findall(r"[\d,]+\d|\d+", row[1]) for row in rows(section("Header, body, block"))
    }
    for name, bounds in {
        "header": [block.MAX_HEADER_BYTES],
        "body": [block.MAX_BODY_BYTES],
        "`max_block_bytes`": [parameters.MAX_BLOCK_BYTES],
        "certificate": [certificate.MAX_CERTIFICATE_BYTES],
        "validators": [1, validators.MAX_VALIDATORS, validators.MAX_VALIDATORS_BYTES],
        "vote, proposal": [certificate.MAX_VOTE_BYTES],
        "evidence": [block.MAX_EVIDENCE, block.MAX_EVIDENCE_BYTES],
        "receipt": [receipt.MAX_RECEIPT_BYTES],
    }.items():
        assert [int(number.replace(",", "")) for number in listed[name]] == bounds, name
    assert f"{execution.GAS_DUE_ITEM:,} gas" in TEXT
    assert f"{transaction.MAX_TRANSACTION_BYTES:,}" in section("Transaction")
    assert f"1 to {transaction.MAX_CALLS} calls" in TEXT
    assert f"at most {block.MAX_SEAL_BYTES} bytes" in TEXT


def test_header_fields_are_all_there_in_order() -> None:
    names = [row[0].strip("`") for row in rows(section("Header, body, block"))][:15]
    assert names == list(block.Header.__slots__)
    found = re.search(r"`\[2, 1, (.*?)\]`", TEXT, re.S)
    assert found
    assert [word.split()[0] for word in found[1].split(",")] == names


def test_parameters_are_all_there_in_order() -> None:
    listed = [
        (row[0].strip("`"), int(row[1].replace(",", ""))) for row in rows(section("Parameters"))
    ]
    known = parameters.ChainParameters()
    assert listed == [(field.name, getattr(known, field.name)) for field in fields(known)]


def test_methods_and_their_arguments() -> None:
    listed = {
        row[0].strip("`"): (re.sub(r" \(.*\)", "", row[1]), row[2])
        for row in rows(section("Methods of every chain"))
    }
    known = {
        f"{module}.{name}": (
            ", ".join(argument.name for argument in one.arguments),
            ", ".join(one.roles),
        )
        for module, methods in base_runtime(ROLES).declarations.items()
        for name, one in methods.items()
    }
    assert listed == known


def test_governance() -> None:
    part = section("Governance")
    table = rows(part[part.index("| method of governance") :])
    listed = {row[0].strip("`"): row[1] for row in table}
    methods = governance.GovernanceModule(ROLES, []).methods()
    assert listed == {
        name: ", ".join(argument.name for argument in one.declaration.arguments)
        for name, one in methods.items()
    }
    words = " ".join(part.split())
    for number in (
        f"at most {governance.MAX_CHANGE_BYTES} bytes",
        f"at most {governance.MAX_OPEN} proposals are open and {governance.MAX_OPEN_PER_MEMBER}",
        f"{governance.MAX_PER_HEIGHT} proposals are to be in force",
        f"{voters.DEFAULT_PERIOD_MS:,} ms and the notice {voters.DEFAULT_NOTICE_BLOCKS} blocks",
        f"at most {changes.MAX_VERSION:,}",
        f"at most {governance.MAX_VALUES} numbers",
    ):
        assert number in words
    for name, least in changes._LEAST.items():
        assert f"`{name}` ≥ {least:,}" in words or f"{least:,} ≤ `{name}`" in words
    for name, most in changes._MOST.items():
        assert f"`{name}` ≤ {most:,}" in words
    for name, (_, most) in changes._ENGINE_RANGES.items():
        assert f"`{name}`" in words and f"{most:,}" in words
    assert all(f"`{name}`" in words for name in GOVERNED)
    assert [name for name in STATUS_NAMES if f" {name}" not in words] == []


def test_methods_of_staking() -> None:
    listed = {
        row[0].strip("`"): (row[1], row[2])
        for row in rows(section("Stakes"))
        if row[0].startswith("`")
    }
    modules = Runtime([StakingModule(ROLES), IncentivesModule()], ROLES).declarations
    assert listed == {
        f"{module}.{name}": (
            ", ".join(argument.name for argument in one.arguments),
            ", ".join(one.roles),
        )
        for module, methods in modules.items()
        for name, one in methods.items()
    }


@pytest.mark.parametrize(
    ("number", "leaf"),
    [
        (staking_terms.TERMS_TYPE, staking_terms.StakingTerms()),
        (stake_pool.POOL_TYPE, stake_pool.Pool()),
        (stake_pool.DELEGATION_TYPE, stake_pool.Delegation()),
        (stake_pool.UNBONDING_TYPE, stake_pool.Unbonding(b"", b"", 0, 0, 0)),
        (stake_pool.POT_TYPE, stake_pool.Pot()),
    ],
)
def test_leaves_of_staking_have_the_fields_of_the_page(number: int, leaf: Any) -> None:
    found = re.search(rf"`\[{number}, 1, (.*?)\]`", section("Stakes"))
    assert found
    names = [field.name.removesuffix("_micro") for field in fields(leaf)]
    assert found[1].split(", ") == names
    assert unpack(leaf.encode())[:2] == (number, 1)
    assert len(unpack(leaf.encode())) == len(names) + 2


def test_genesis_fields() -> None:
    for name in genesis._FIELDS:
        assert f"`{name}`" in section("Genesis")


@pytest.mark.parametrize("code", ["wrong_network", "wrong_key", "block_full", "expiry_too_far"])
def test_codes_of_refusals(code: str) -> None:
    assert f"`{code}`" in section("Transaction")
