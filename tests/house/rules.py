"""Every rule of the house by name, and how to run one over a set of files."""

from collections.abc import Callable, Iterable, Iterator

from tests.house import conduct, graph, identifiers, layers, purity, sets
from tests.house.exceptions import EXCEPTIONS
from tests.house.source import Finding, Source

Rule = Callable[[Iterable[Source]], Iterator[Finding]]


def _each(rule: Callable[[Source], Iterator[Finding]]) -> Rule:
    """A rule that reads one file at a time, over all of them."""

    def over_all(sources: Iterable[Source]) -> Iterator[Finding]:
        for source in sources:
            yield from rule(source)

    return over_all


def _weight_of_daemon(sources: Iterable[Source]) -> Iterator[Finding]:
    return graph.find_heavy_imports(sources, "node.app", is_deferred_counted=True)


def _weight_of_commands(sources: Iterable[Source]) -> Iterator[Finding]:
    return graph.find_heavy_imports(sources, "tools.cli", is_deferred_counted=False)


RULES: dict[str, Rule] = {
    "imports across floors": _each(layers.find_imports_across_floors),
    "impure imports": _each(layers.find_impure_imports),
    "code and i/o imports": _each(layers.find_code_and_io_imports),
    "relative imports": _each(layers.find_relative_imports),
    "code in packages": _each(layers.find_code_in_packages),
    "misnamed modules": _each(layers.find_misnamed_modules),
    "floats": _each(purity.find_floats),
    "true division": _each(purity.find_true_division),
    "identity and i/o": _each(purity.find_identity_and_io),
    "coroutines": _each(purity.find_coroutines),
    "code execution": _each(purity.find_code_execution),
    "set iteration": sets.find_set_iteration,
    "missing docstrings": _each(conduct.find_missing_docstrings),
    "asserts": _each(conduct.find_asserts),
    "long files": _each(conduct.find_long_files),
    "long functions": _each(conduct.find_long_functions),
    "swallowed errors": _each(conduct.find_swallowed_errors),
    "mutable records": _each(conduct.find_mutable_records),
    "unfinished code": _each(conduct.find_unfinished_code),
    "shared structure types": identifiers.find_shared_types,
    "shared hash domains": identifiers.find_shared_domains,
    "shared spaces of the state": identifiers.find_shared_spaces,
    "weight of the daemon": _weight_of_daemon,
    "weight of the command line": _weight_of_commands,
}


def excuse(name: str, findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings that stand, and those that a listed exception excuses."""
    standing: list[Finding] = []
    excused: list[Finding] = []
    for finding in findings:
        is_excused = (name, finding.path, finding.subject) in EXCEPTIONS
        (excused if is_excused else standing).append(finding)
    return standing, excused
