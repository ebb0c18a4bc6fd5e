"""The rule that pure floors never depend on the order of a set.

The order of a set of bytes or text differs between processes, so one loop over a set is enough
to split a chain. What is a set is read from literals, calls, operators and annotations; a
fact about an attribute or a function holds in every pure module, unless another annotation of
the same name contradicts it.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.house.source import Finding, Source, dotted_name

SET_TYPES = {"set", "frozenset", "AbstractSet", "MutableSet", "Set", "FrozenSet"}
MAPPING_TYPES = {"dict", "defaultdict", "Mapping", "MutableMapping"}
# Their result does not depend on the order of what they are given.
ORDER_FREE = {"sorted", "set", "frozenset", "len", "sum", "any", "all"}
# As long as they have no key: with one, ties are settled by the order.
ORDER_FREE_WITHOUT_KEY = {"min", "max"}
# Their result has the order of what they are given.
ORDERING = {"list", "tuple", "iter", "enumerate", "map", "filter", "zip", "reversed", "bytes"}
ORDERING |= {"bytearray", "dict", "min", "max", "next", "reduce", "deque", "chain"}
ORDERING_METHODS = {"join", "extend", "fromkeys", "from_iterable", "accumulate", "extendleft"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
MEND = "loop over sorted(…), or keep the items in a dict or tuple, which have an order"


@dataclass
class SetFacts:
    """The names known to hold sets, and those known to map to sets."""

    attributes: set[str] = field(default_factory=set)
    mapped_attributes: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    mapped_names: set[str] = field(default_factory=set)

    def inside(self, names: set[str], mapped: set[str]) -> "SetFacts":
        """These facts with the names of one more scope."""
        return SetFacts(
            self.attributes,
            self.mapped_attributes,
            self.functions,
            self.names | names,
            self.mapped_names | mapped,
        )

    def is_set(self, node: ast.AST) -> bool:
        """Whether an expression is known to be a set."""
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Name):
            return node.id in self.names
        if isinstance(node, ast.Attribute):
            return node.attr in self.attributes
        if isinstance(node, ast.IfExp):
            return self.is_set(node.body) or self.is_set(node.orelse)
        if isinstance(node, ast.BoolOp):
            return any(self.is_set(value) for value in node.values)
        if isinstance(node, ast.NamedExpr):
            return self.is_set(node.value)
        if isinstance(node, ast.Subscript):
            return self.maps_to_sets(node.value)
        if isinstance(node, ast.BinOp):
            operator = isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor)
            sides = (node.left, node.right)
            return operator and any(self.is_set(side) or _is_keys_view(side) for side in sides)
        return isinstance(node, ast.Call) and self._returns_set(node)

    def _returns_set(self, call: ast.Call) -> bool:
        function = call.func
        if isinstance(function, ast.Name):
            return function.id in {"set", "frozenset"} | self.functions
        if not isinstance(function, ast.Attribute):
            return False
        if function.attr in self.functions:
            return True
        if function.attr in SET_METHODS and self.is_set(function.value):
            return True
        return function.attr in ("get", "pop", "setdefault") and self.maps_to_sets(function.value)

    def maps_to_sets(self, node: ast.AST) -> bool:
        """Whether an expression is known to be a mapping whose values are sets."""
        if isinstance(node, ast.Name):
            return node.id in self.mapped_names
        if isinstance(node, ast.Attribute):
            return node.attr in self.mapped_attributes
        if isinstance(node, ast.Call) and dotted_name(node.func).endswith("defaultdict"):
            return any(dotted_name(made) in ("set", "frozenset") for made in node.args)
        return False


def _is_keys_view(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr in ("keys", "items")


def _annotated(annotation: ast.AST | None) -> str:
    """Whether an annotation says "set", "mapping" to sets, or "" for anything else."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return ""
    if isinstance(annotation, ast.BinOp):
        return _annotated(annotation.left) or _annotated(annotation.right)
    arguments: list[ast.AST] = []
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        arguments = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        annotation = annotation.value
    name = dotted_name(annotation).split(".")[-1] if annotation else ""
    if name in SET_TYPES:
        return "set"
    if name in ("Final", "ClassVar", "Optional", "Annotated") and arguments:
        return _annotated(arguments[0])
    if name in MAPPING_TYPES and arguments and _annotated(arguments[-1]) == "set":
        return "mapping"
    return ""


def collect_facts(sources: Iterable[Source]) -> SetFacts:
    """What annotations and assignments say about attributes and functions, everywhere."""
    facts = SetFacts()
    contradicted: set[str] = set()
    for source in sources:
        fields = {
            statement
            for node in source.nodes
            if isinstance(node, ast.ClassDef)
            for statement in node.body
        }
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef):
                kind = _annotated(node.returns)
                if kind == "set":
                    facts.functions.add(node.name)
                    facts.attributes.add(node.name)  # where it is a property
                else:
                    contradicted.add(node.name)
            target, value, annotation = _assignment(node)
            name = target.attr if isinstance(target, ast.Attribute) else ""
            if isinstance(target, ast.Name) and node in fields:
                name = target.id
            if not name:
                continue
            if _annotated(annotation) == "set" or (value is not None and SetFacts().is_set(value)):
                facts.attributes.add(name)
            elif _annotated(annotation) == "mapping" or _is_default_of_sets(value):
                facts.mapped_attributes.add(name)
            elif annotation is not None:
                contradicted.add(name)
    facts.attributes -= contradicted
    facts.mapped_attributes -= contradicted
    facts.functions -= contradicted
    return facts


def _is_default_of_sets(value: ast.AST | None) -> bool:
    return value is not None and SetFacts().maps_to_sets(value)


def _assignment(node: ast.AST) -> tuple[ast.AST | None, ast.AST | None, ast.AST | None]:
    """Target, value and annotation of an assignment, or three times nothing."""
    if isinstance(node, ast.AnnAssign):
        return node.target, node.value, node.annotation
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return node.targets[0], node.value, None
    if isinstance(node, ast.NamedExpr):
        return node.target, node.value, None
    return None, None, None


def find_set_iteration(sources: Iterable[Source]) -> Iterator[Finding]:
    """Places in pure floors where the order of a set can reach a result."""
    pure = [source for source in sources if source.is_pure]
    facts = collect_facts(pure)
    for source in pure:
        yield from _SetReader(source).read(source.tree, facts)


@dataclass
class _SetReader:
    source: Source

    def read(self, scope: ast.AST, outer: SetFacts) -> Iterator[Finding]:
        """The findings of one scope and of the functions inside it."""
        nodes = list(_own_nodes(scope))
        facts = outer
        for _ in range(2):  # twice: a name may be assigned from a name that comes later
            facts = facts.inside(*_local_names(scope, nodes, facts))
        harmless = _order_free_parts(nodes)
        for node in nodes:
            for iterated, how in _ordered_uses(node, facts):
                if facts.is_set(iterated) and node not in harmless:
                    yield self.source.finding(node, f"the order of a set is used by {how}", MEND)
            if node is not scope and _opens_scope(node):
                yield from self.read(node, facts)


def _opens_scope(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, functions inside it without their insides."""
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop(0)
        yield node
        if not _opens_scope(node):
            pending[:0] = ast.iter_child_nodes(node)


def _local_names(
    scope: ast.AST, nodes: list[ast.AST], facts: SetFacts
) -> tuple[set[str], set[str]]:
    """The names of a scope that hold sets, and those that map to sets."""
    names: set[str] = set()
    mapped: set[str] = set()
    arguments = getattr(scope, "args", None)
    if isinstance(arguments, ast.arguments):
        for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs:
            kind = _annotated(argument.annotation)
            {"set": names, "mapping": mapped}.get(kind, set()).add(argument.arg)
    for node in nodes:
        target, value, annotation = _assignment(node)
        if not isinstance(target, ast.Name):
            continue
        kind = _annotated(annotation)
        if kind == "set" or (value is not None and facts.is_set(value)):
            names.add(target.id)
        elif kind == "mapping" or (value is not None and facts.maps_to_sets(value)):
            mapped.add(target.id)
    return names, mapped


def _order_free_parts(nodes: list[ast.AST]) -> set[ast.AST]:
    """Comprehensions whose order is forgotten at once: in sorted(…), set(…), `{…}` and so on."""
    free: set[ast.AST] = {node for node in nodes if isinstance(node, ast.SetComp)}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            keyed = any(keyword.arg == "key" for keyword in node.keywords)
            plain = ORDER_FREE_WITHOUT_KEY if not keyed else set()
            is_tie_broken = node.func.id != "sorted" or not keyed
            if node.func.id in ORDER_FREE | plain and is_tie_broken:
                free.update(node.args)
    return free


def _ordered_uses(node: ast.AST, facts: SetFacts) -> Iterator[tuple[ast.AST, str]]:
    """What a node goes through in order, and how to call that."""
    if isinstance(node, ast.For):
        yield node.iter, "a loop"
    elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp):
        for generator in node.generators:
            yield generator.iter, "a comprehension"
    elif isinstance(node, ast.Starred):
        yield node.value, "unpacking"
    elif isinstance(node, ast.YieldFrom):
        yield node.value, "`yield from`"
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
        yield node.value, "unpacking"
    elif isinstance(node, ast.Call):
        yield from _ordered_arguments(node, facts)


def _ordered_arguments(call: ast.Call, facts: SetFacts) -> Iterator[tuple[ast.AST, str]]:
    name = dotted_name(call.func).split(".")[-1]
    if not name and isinstance(call.func, ast.Attribute):
        name = call.func.attr  # a method of an expression, as in b"".join(…)
    is_method = isinstance(call.func, ast.Attribute)
    keyed = any(keyword.arg == "key" for keyword in call.keywords)
    if name in ORDER_FREE_WITHOUT_KEY and not keyed:
        return
    if name in (ORDERING_METHODS if is_method else ORDERING) or (name == "sorted" and keyed):
        for argument in call.args:
            yield argument, f"{name}(…)" + (" with a key, where ties keep it" if keyed else "")
    elif name == "pop" and is_method and not call.args and isinstance(call.func, ast.Attribute):
        yield call.func.value, "pop()"
