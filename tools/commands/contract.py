"""`bitenergy contract`: market rules of one's own, from the first check to the running contract."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tools.commands.contract_chain import CHAIN_COMMANDS
from tools.commands.options import exit_option, json_option, pass_session
from tools.errors import EXIT_FAILED, EXIT_OK
from tools.output import print_json, print_lines, print_table
from tools.session import Session

SOURCE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("contract")
def contract_command() -> None:
    """Market rules of your own: check, test, deploy and call them."""


for _command in CHAIN_COMMANDS:
    contract_command.add_command(_command)


@contract_command.command("check")
@click.argument("file", type=SOURCE)
@json_option
@pass_session
def check(session: Session, file: Path) -> int:
    """Compile FILE, and say what it declares or what is wrong with it."""
    from tools.contract.compiler import compile_source
    from tools.contract.source_error import SourceError

    try:
        artefact = compile_source(file.read_bytes())
    except SourceError as error:
        if session.as_json:
            finding = {"line": error.line, "column": error.column, "message": error.message}
            print_json({"ok": False, "file": str(file), "findings": [finding]})
        else:
            print_lines(f"{file}:{error}")
        return EXIT_FAILED
    abi = artefact.abi
    if session.as_json:
        sizes = {"code_bytes": len(artefact.raw), "source_bytes": len(artefact.source.encode())}
        print_json({"ok": True, "file": str(file), "findings": [], **sizes, "abi": abi})
        return EXIT_OK
    rows = [
        [function.name, function.kind.name.lower(), _heading(function.parameters), function.result]
        for function in artefact.code.entries.values()
    ]
    print_table(
        f"{file}: {len(artefact.raw)} bytes of code", ["function", "kind", "takes", "gives"], rows
    )
    print_lines(f"code hash {artefact.code.code_hash.hex()}")
    return EXIT_OK


@contract_command.command("test")
@click.argument("file", type=SOURCE)
@click.option("--tests", type=SOURCE, help="The test file; without it FILE with _test in its name.")
@json_option
@pass_session
def test(session: Session, file: Path, tests: Path | None) -> int:
    """Run the tests of the contract in FILE, in memory, against the real runtime."""
    from tools.contract.source_file import load_artefact
    from tools.contract.testing import run_tests, test_file_of

    load_artefact(file)
    chosen = tests or test_file_of(file)
    results = run_tests(chosen, file)
    failed = [result for result in results if result.failure]
    if session.as_json:
        listed = [
            {
                "name": result.name,
                "ok": not result.failure,
                "failure": result.failure,
                "duration_ms": result.duration_ms,
            }
            for result in results
        ]
        print_json({"ok": not failed, "tests": listed})
    else:
        for result in results:
            print_lines(f"{'FAILED' if result.failure else 'ok    '} {result.name}")
            if result.failure:
                print_lines(f"       {chosen}: {result.failure}")
        print_lines(f"{len(results) - len(failed)} of {len(results)} passed")
    return EXIT_FAILED if failed else EXIT_OK


@contract_command.command("gas")
@click.argument("file", type=SOURCE)
@click.option("--tests", type=SOURCE, help="The test file; without it FILE with _test in its name.")
@json_option
@pass_session
def gas(session: Session, file: Path, tests: Path | None) -> int:
    """Run the tests of the contract in FILE and print the gas of each of its lines."""
    from tools.contract.profiling import LineProfile
    from tools.contract.source_file import load_artefact
    from tools.contract.testing import run_tests, test_file_of
    from vm.contract.limits import GAS_CODE_BYTE

    artefact = load_artefact(file)
    profile = LineProfile(artefact)
    results = run_tests(tests or test_file_of(file), file, profile)
    source = artefact.source.splitlines()
    load_gas = GAS_CODE_BYTE * len(artefact.raw)
    if session.as_json:
        lines = [
            {"line": line, "gas": used, "runs": profile.runs_by_line.get(line, 0)}
            for line, used in sorted(profile.gas_by_line.items())
        ]
        total = sum(profile.gas_by_line.values())
        print_json(
            {
                "file": str(file),
                "tests": len(results),
                "gas": total,
                "load_gas": load_gas,
                "lines": lines,
            }
        )
        return EXIT_OK
    rows = [
        [
            number,
            profile.gas_by_line.get(number, ""),
            profile.runs_by_line.get(number, ""),
            text,
        ]
        for number, text in enumerate(source, 1)
    ]
    print_table(
        f"{file}: gas over {len(results)} tests", [">line", ">gas", ">runs", "source"], rows
    )
    print_lines(
        f"Beside its lines a transaction pays for itself, and {load_gas} gas for"
        f" {len(artefact.raw)} bytes of code."
    )
    return EXIT_OK


@contract_command.command("demo")
@click.option(
    "--case",
    type=click.Choice(["1", "2", "3", "all"]),
    default="all",
    show_default=True,
    help="Which of the published cases.",
)
@click.option("--engine", default="poa", show_default=True, help="Consensus engine.")
@exit_option
@json_option
@pass_session
def demo(session: Session, case: str, engine: str, leave: bool) -> int:
    """Trade the published cases through the Bit-Energy contract on four validators.

    The same as `bitenergy demo`, with the market of genesis/contracts/bit_energy.py in place of
    the built-in one. The exit status is 0 only if every figure agrees on every validator.
    """
    from tools import demo as runner
    from tools.contract.demo_market import ContractMarket

    cases = (1, 2, 3) if case == "all" else (int(case),)
    return runner.run_demo(
        cases, engine=engine, leave=leave, as_json=session.as_json, market=ContractMarket()
    )


def _heading(parameters: tuple[tuple[str, object], ...]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in parameters)
