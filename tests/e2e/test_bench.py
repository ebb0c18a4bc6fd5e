"""The benchmarks run, and their figures fit together."""

import pytest

from tests.e2e.support import Commands

pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_the_stages_of_a_transaction_add_up(commands: Commands) -> None:
    figures = commands.ask("bench", "stages", "--transactions", "1500")
    stages = [f"{name}_us" for name in ("decode", "admit", "execute", "write", "remove")]
    assert all(figures[name] > 0 for name in [*stages, "signature_us"])
    assert figures["all_us"] == pytest.approx(sum(figures[name] for name in stages), abs=0.2)


@pytest.mark.long
def test_a_short_run_of_a_chain_loses_nothing(commands: Commands) -> None:
    figures = commands.ask("bench", "chain", "--validators", "1", "--transactions", "300")
    assert figures["refused"] == {}
    assert figures["failed"] < 10  # purchases that came before the first offers
    assert figures["finalised_per_s"] > 0
    assert figures["executed_per_final"] >= 1
    assert figures["heights"] >= 1


@pytest.mark.long
def test_a_short_run_of_contract_transfers_loses_nothing(commands: Commands) -> None:
    options = ("--traffic", "contract", "--validators", "1", "--transactions", "300")
    figures = commands.ask("bench", "chain", *options)
    assert (figures["traffic"], figures["refused"], figures["failed"]) == ("contract", {}, 0)
    assert figures["executed_per_final"] >= 1


@pytest.mark.long
def test_a_short_join_gets_everything(commands: Commands) -> None:
    figures = commands.ask("bench", "join", "--transactions", "600")
    assert (figures["transactions"], figures["heights"]) == (600, 2)
    assert figures["verified_per_s"] > 0 and figures["certified_per_s"] > 0


@pytest.mark.long
def test_a_small_snapshot_is_moved_and_proved(commands: Commands) -> None:
    figures = commands.ask("bench", "snapshot", "--accounts", "1000")
    assert figures["chunks"] == 16
    assert figures["total_s"] == pytest.approx(figures["taken_s"] + figures["joined_s"], abs=0.11)


@pytest.mark.long
def test_readers_hear_what_happens(commands: Commands) -> None:
    figures = commands.ask("bench", "readers", "--readers", "5", "--seconds", "2")
    # Fifty transactions a second, told to each of five.
    assert float(str(figures["messages_per_s"])) > 5 * 50 * 0.8
    assert float(str(figures["block_ms_with"])) > 0


@pytest.mark.long
def test_pages_of_a_long_chain_are_answered(commands: Commands) -> None:
    figures = commands.ask("bench", "pages", "--blocks", "3000", "--offers", "500")
    assert isinstance(figures["pages"], list)
    assert {page["page"] for page in figures["pages"]} >= {"home", "market", "transactions"}
    assert all(page["bytes"] > 0 for page in figures["pages"])
