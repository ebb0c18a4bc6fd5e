"""What a process loads: the graph of imports from a root module, without running anything."""

from collections.abc import Iterable, Iterator

from tests.house.source import Finding, ImportedName, Source, imports_of, is_within

HEAVY = ("llvmlite", "numba", "numpy", "scipy")


def find_heavy_imports(
    sources: Iterable[Source], root: str, *, is_deferred_counted: bool
) -> Iterator[Finding]:
    """Numerics that a process starting at `root` would load, with the way to them.

    Imports inside functions count where `is_deferred_counted`: a daemon calls its functions, a
    command line loads what one command needs.
    """
    modules = {source.module: source for source in sources}
    if root not in modules:
        path = root.replace(".", "/") + ".py"
        yield Finding(path, 1, f"`{root}` is missing", "what starts here is checked for weight")
        return
    ways: dict[str, tuple[str, ...]] = {root: (root,)}
    pending = [root]
    while pending:
        module = pending.pop()
        for imported in imports_of(modules[module]):
            if imported.is_for_types or (imported.is_deferred and not is_deferred_counted):
                continue
            if is_within(imported.name, HEAVY):
                yield modules[module].finding(
                    imported.line,
                    f"`{imported.name}` is loaded by `{root}` through {' → '.join(ways[module])}",
                    "numerics stay in `dispatch`, which no running node loads: cut one import of "
                    "this way, or make it inside the function that needs it",
                )
            for target in _loaded_modules(imported, modules):
                if target not in ways:
                    ways[target] = (*ways[module], target)
                    pending.append(target)


def _loaded_modules(imported: ImportedName, modules: dict[str, Source]) -> list[str]:
    """Every module of the repository that one import runs: the named one and its packages."""
    parts = imported.name.split(".")
    names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [name for name in names if name in modules]
