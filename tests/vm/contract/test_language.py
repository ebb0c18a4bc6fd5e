"""What contracts do, seen from outside: results, failures, storage, calls between contracts."""

from __future__ import annotations

import pytest

from tests.vm.contract.hosts import ALICE, BOB, HERE, THERE, MemoryChain
from tools.contract.compiler import compile_source
from vm.contract.abi import check_upgrade, describe_code, from_json, to_json
from vm.contract.interfaces import Signature, check_imports
from vm.contract.interpreter import Door
from vm.contract.limits import MAX_INT, MIN_INT
from vm.contract.value_types import ADDRESS, BYTES, INT, NONE, STR, dict_of, list_of, record_of
from vm.primitives.codec import Encodable, Value, encode_integer
from vm.primitives.errors import BitenergyError, CallError, InvalidInput


def run(body: str, *arguments: Value, head: str = "", result: str = "int") -> Encodable:
    """Run lines as the body of a function of two integers."""
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    chain = MemoryChain()
    chain.deploy(f"import math\n{head}\n@export\ndef main(a: int, b: int) -> {result}:\n{lines}")
    values = (*arguments, *(0, 0))[:2]
    return chain.call("main", *values)


def failure(body: str, *arguments: Value, head: str = "") -> str:
    """Return the code by which lines fail."""
    with pytest.raises(CallError) as caught:
        run(body, *arguments, head=head)
    return caught.value.code


@pytest.mark.parametrize(
    ("left", "right"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (2**200, -(3**50)), (0, 5)]
)
def test_division_rounds_down(left: int, right: int) -> None:
    values = [encode_integer(n) if abs(n) >= 2**63 else n for n in (left, right)]
    found = run("return a // b", *values), run("return a % b", *values)
    plain = [n if type(n) is int else int.from_bytes(n, "big", signed=True) for n in found]  # type: ignore[arg-type]
    assert plain == [left // right, left % right]


def test_integers_fail_at_256_bits() -> None:
    most, least = encode_integer(MAX_INT), encode_integer(MIN_INT)
    assert run("return a", most) == most
    assert run("return a", least) == least
    for body, values in (
        ("return a + 1", (most,)),
        ("return a - 1", (least,)),
        ("return a + b", (most, 1)),
        ("return a - b", (least, 1)),
        ("return a * b", (most, 2)),
        ("return -a", (least,)),
        ("return abs(a)", (least,)),
        ("return a // b", (least, -1)),
        ("return a ** b", (2, 255)),
        ("return a << b", (1, 255)),
        ("return sum([a, a])", (most,)),
        ("return math.mul_div(a, b, 1)", (most, 2)),
        ("a += 1\nreturn a", (most,)),
        ("for i in range(2):\n    a -= 1\nreturn a", (least,)),
    ):
        assert failure(body, *values) == "overflow", body
    assert run("return a ** b", -2, 254) == encode_integer(2**254)
    assert run("return math.mul_div(a, a, a)", most) == most


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return a // b", "division_by_zero"),
        ("return a % b", "division_by_zero"),
        ("return [1][b + 1]", "index_out_of_range"),
        ("return [1][b - 2]", "index_out_of_range"),
        ("x = [1]\nx.pop()\nreturn x.pop()", "index_out_of_range"),
        ("x = {1: 2}\nreturn x[b]", "key_missing"),
        ("x = {1: 2}\ndel x[b]\nreturn 0", "key_missing"),
        ("x = {1: 2}\nx[2 ** 70] = 1\nreturn 0", "out_of_range"),
        ("return 2 ** (a - 1)", "out_of_range"),
        ("return 1 >> (b + 256)", "out_of_range"),
        ("return min([i for i in range(b)])", "out_of_range"),
        ('return int("")', "invalid_text"),
        ('return int("--1")', "invalid_text"),
        ('return int("٣")', "invalid_text"),
        ('return len(b"\\xff".decode())', "invalid_text"),
        ("return len(str(a) * 9000)", "too_long"),
        ('fail("no")', "requirement_failed"),
        ("assert a > 5\nreturn 0", "requirement_failed"),
    ],
)
def test_failures_have_codes(body: str, code: str) -> None:
    assert failure(body) == code


def test_a_reason_is_computed_only_when_it_is_needed() -> None:
    assert run("require(a == 0, str(1 // b))\nreturn 1") == 1
    assert failure("require(a == 1, str(1 // b))\nreturn 1") == "division_by_zero"


def test_lists_are_shared_within_a_call() -> None:
    head = "def grow(xs: list[int]):\n    xs.append(5)\n"
    assert run("xs = [1]\nys = xs\ngrow(ys)\nys += [6]\nreturn sum(xs)", head=head) == 12
    assert run("xs = [1]\nys = xs.copy()\nys.append(2)\nreturn len(xs)") == 1


def test_storage_is_copied() -> None:
    chain = MemoryChain()
    chain.deploy(
        """
held: list[int]
grid: map[int, list[int]]

@export
def main() -> list[int]:
    a = [1, 2]
    self.held = a
    self.grid[1] = a
    a.append(3)
    b = self.held
    b.append(4)
    c = self.grid[1]
    c.append(5)
    return self.held + self.grid[1]
"""
    )
    assert chain.call("main") == (1, 2, 1, 2)


def test_dictionaries_keep_the_order_of_insertion() -> None:
    body = "d = {3: 1, 1: 2}\nd[2] = 3\ndel d[3]\nd[3] = 4\nreturn d.keys()"
    assert run(body, result="list[int]") == (1, 2, 3)


def test_evaluation_goes_from_left_to_right() -> None:
    head = (
        "seen: list[int]\n\ndef note(n: int) -> int:\n    s = self.seen\n    s.append(n)\n"
        "    self.seen = s\n    return n\n"
    )
    body = (
        "d = {1: 1}\nd[note(3) - 2] = note(2)\nx = note(5) + note(6) * note(7)\n"
        "y = note(8) < note(7) < note(9)\nz = max(note(1), note(2))\nreturn self.seen"
    )
    assert run(body, head=head, result="list[int]") == (2, 3, 5, 6, 7, 8, 7, 1, 2)


def test_parallel_assignment_takes_all_values_first() -> None:
    assert run("a, b = b, a\nreturn a * 10 + b", 1, 2) == 21
    assert run("xs = [1, 2]\nxs[0], xs[1] = xs[1], xs[0]\nreturn xs[0]") == 2


def test_loops_leave_the_last_value() -> None:
    assert run("i = 9\nfor i in range(3):\n    pass\nreturn i") == 2
    assert run("i = 9\nfor i in range(0):\n    pass\nreturn i") == 9
    assert run("n = 0\nfor i in range(5):\n    i = 100\n    n += 1\nreturn n") == 5
    assert run("n = 0\nfor i in range(10, 0, -3):\n    n = n * 10 + i\nreturn n") == 10741
    body = "xs = [1]\nfor x in xs:\n    if x < 5:\n        xs.append(x + 1)\nreturn len(xs)"
    assert run(body) == 5
    assert (
        run("while True:\n    a += 1\n    if a > 3:\n        x = a\n        break\nreturn x") == 4
    )


def test_names_of_comprehensions_are_their_own() -> None:
    assert run('x = "s"\ny = [x + 1 for x in range(3)]\nreturn len(x) + sum(y)') == 7
    assert run("x = [1, 2]\ny = [x for x in x if x > 1]\nreturn len(x) * 10 + len(y)") == 21


CALLEE = """
total: int
Kept = event(n=int)

@export
def keep(n: int) -> int:
    require(n < 100, "too much")
    self.total += n
    emit(Kept(n))
    return self.total

@view
def told() -> int:
    return self.total

@view
def items() -> list[int]:
    return [1, 2]

@export
def wrong() -> str:
    return "x"
"""
CALLER = """
Shop = interface(
    keep=export(int, returns=int), told=view(returns=int), items=view(returns=list[int]),
    wrong=export(returns=int), absent=export(),
)
count: int

@export
def main(where: address, n: int) -> int:
    self.count += 1
    return Shop(where).keep(n) * 10 + Shop(where).told()

@export
def bad(where: address) -> int:
    return Shop(where).wrong()

@export
def gone(where: address):
    Shop(where).absent()

@export
def own(where: address) -> int:
    a = Shop(where).items()
    a.append(3)
    return len(Shop(where).items())

@export
def keep(n: int) -> int:
    return Shop(this()).keep(n)

@view
def look(where: address) -> int:
    return Shop(where).told()
"""


def two() -> MemoryChain:
    """Return a chain with two contracts."""
    chain = MemoryChain()
    chain.deploy(CALLEE, THERE)
    chain.deploy(CALLER, HERE)
    return chain


def test_calls_between_contracts() -> None:
    chain = two()
    assert chain.call("main", THERE, 5) == 55
    assert chain.events == [(THERE, "Kept", (5,))]
    assert chain.call("look", THERE, door=Door.VIEW) == 5
    assert chain.call("own", THERE) == 2


def test_a_failed_callee_undoes_everything() -> None:
    chain = two()
    before = dict(chain.stored)
    for name, arguments, code in (
        ("main", (THERE, 100), "requirement_failed"),
        ("bad", (THERE,), "invalid_result"),
        ("gone", (THERE,), "unknown_method"),
        ("keep", (1,), "reentrancy"),
        ("main", (BOB, 1), "unknown_contract"),
    ):
        with pytest.raises(CallError) as caught:
            chain.call(name, *arguments)
        assert caught.value.code == code
        assert chain.stored == before and not chain.events


def test_too_little_gas_undoes_everything() -> None:
    chain = two()
    chain.call("main", THERE, 5)
    needed = chain.gas_used
    before = dict(chain.stored)
    for gas in range(0, needed, 7):
        with pytest.raises(CallError) as caught:
            chain.call("main", THERE, 5, gas=gas)
        assert caught.value.code == "out_of_gas"
        assert chain.stored == before
    chain.call("main", THERE, 5, gas=needed)


def test_who_may_call() -> None:
    chain = MemoryChain(roles={ALICE: ("operator",)})
    chain.deploy(
        """
owner: address

@init
def start():
    self.owner = caller()

@export(roles=["operator", "utility"])
def work() -> int:
    return 1

@export(only=owner)
def own() -> int:
    return 2

@upgrade
def renew():
    pass

def inner() -> int:
    return inner()
"""
    )
    assert (chain.call("work"), chain.call("own")) == (1, 2)
    for name, caller, door, code in (
        ("work", BOB, Door.CALL, "wrong_role"),
        ("own", BOB, Door.CALL, "wrong_caller"),
        ("inner", ALICE, Door.CALL, "unknown_method"),
        ("start", ALICE, Door.CALL, "unknown_method"),
        ("renew", ALICE, Door.CALL, "unknown_method"),
        ("work", ALICE, Door.VIEW, "unknown_method"),
    ):
        with pytest.raises(CallError) as caught:
            chain.call(name, caller=caller, door=door)
        assert caught.value.code == code
    chain.call("", door=Door.UPGRADE)


TYPES = """
Pair = record(a=int, b=str)

@export
def main(n: int, flag: bool, data: bytes, text: str, who: address, xs: list[int],
         pair: Pair, d: dict[str, int], t: tuple[int, bool]) -> dict[str, int]:
    return d
"""
GOOD: tuple[Value, ...] = (1, True, b"x", "é", ALICE, (1, 2), (3, "b"), (("k", 1),), (1, False))
BAD: tuple[tuple[int, Value], ...] = (
    (0, True), (0, "1"), (0, None), (0, 2**63), (0, b""), (0, b"\x00\x01"), (0, b"\x01" * 40),
    (1, 1), (1, None), (2, "x"), (2, b"x" * 8_193), (3, b"x"), (3, "x" * 8_193), (3, "é\ud800"),
    (4, b"x" * 19),
    (4, "x" * 20), (5, (1, "x")), (5, {}), (5, 5), (5, (1,) * 1_025), (6, (3,)), (6, (3, 4)),
    (7, {"k": 1}), (7, (("k",),)), (7, (("k", 1), ("k", 2))), (7, ((1, 1),)), (8, (1, 1)),
    (8, ((((),),),)),
)  # fmt: skip


def test_arguments_of_any_shape() -> None:
    chain = MemoryChain()
    chain.deploy(TYPES)
    assert chain.call("main", *GOOD) == (("k", 1),)
    for place, value in BAD:
        arguments = (*GOOD[:place], value, *GOOD[place + 1 :])
        with pytest.raises(CallError) as caught:
            chain.call("main", *arguments)
        assert caught.value.code == "invalid_arguments", (place, value)
    for arguments in ((), GOOD[:8], (*GOOD, 1)):
        with pytest.raises(CallError) as caught:
            chain.call("main", *arguments)
        assert caught.value.code == "invalid_arguments"


def test_values_are_bounded_where_they_are_stored() -> None:
    head = "text: str\nheld: map[str, int]\nlarge: list[list[str]]\n"
    assert failure('self.text = "é" * 2100\nreturn 0', head=head) == "too_long"
    assert run('self.text = "é" * 2000\nreturn 0', head=head) == 0
    assert failure('self.held["é" * 200] = 1\nreturn 0', head=head) == "too_long"
    assert failure('return 1 if ("é" * 200) in self.held else 0', head=head) == "too_long"
    shared = 'x = ["y" * 1000] * 1000\nself.large = [x] * 1000\nreturn 0'
    assert failure(shared, head=head) == "too_long"


def test_built_in_interfaces() -> None:
    signatures = {
        "bank": {
            "balance": Signature((("account", ADDRESS),), INT, is_view=True),
            "transfer": Signature((("to", ADDRESS), ("amount", INT)), NONE, is_view=False),
        }
    }
    source = """
import bank
from bank import balance

@export
def pay(to: address) -> int:
    bank.transfer(to, amount=5)
    return balance(this())
"""
    code = compile_source(source, signatures).code
    paid: list[tuple[Encodable, ...]] = []
    chain = MemoryChain(
        {HERE: code},
        interfaces={
            ("bank", "transfer"): lambda to, amount: paid.append((to, amount)),
            ("bank", "balance"): lambda account: 37,
        },
    )
    assert chain.call("pay", BOB) == 37
    assert paid == [(BOB, 5)]
    assert not check_imports(code, signatures)
    assert len(check_imports(code, {})) == 2
    other = {"bank": {"balance": Signature((), INT, is_view=True)}}
    assert len(check_imports(code, other)) == 2


def test_upgrades_only_append_storage() -> None:
    old = compile_source("a: int\nb: map[int, str]\n@export\ndef f(): pass\n", {}).code
    for source, count in (
        ("a: int\nb: map[int, str]\nc: bytes\n", 0),
        ("a: int\n", 1),
        ("b: map[int, str]\na: int\n", 2),
        ("a: str\nb: map[int, str]\n", 1),
        ("a: int\nb: map[int, int]\n", 1),
        ("x: int\nb: map[int, str]\n", 1),
    ):
        new = compile_source(source + "@export\ndef f(): pass\n", {}).code
        assert len(check_upgrade(old, new)) == count, source


def test_the_interface_as_json() -> None:
    described = describe_code(compile_source(TYPES, {}).code)
    (function,) = described["functions"]  # type: ignore[misc]
    assert function["name"] == "main" and function["kind"] == "export"  # type: ignore[index,call-overload]
    assert function["parameters"][5] == {"name": "xs", "type": {"list": "int"}}  # type: ignore[index,call-overload]


def test_values_for_people_and_back() -> None:
    pair = record_of("Pair", (("a", INT), ("b", STR)))
    for kind, value in (
        (INT, 5),
        (INT, 2**60),
        (INT, encode_integer(-(2**200))),
        (ADDRESS, ALICE),
        (BYTES, b"\x00\xff"),
        (list_of(pair), ((1, "x"), (2, "y"))),
        (dict_of(STR, INT), (("a", 1),)),
    ):
        assert from_json(kind, to_json(kind, value)) == value
    assert from_json(ADDRESS, ALICE.hex()) == ALICE
    assert from_json(INT, str(2**200)) == encode_integer(2**200)
    for kind, data in ((INT, "x"), (INT, 2**256), (INT, True), (ADDRESS, "be12"), (STR, 1)):
        with pytest.raises(InvalidInput):
            from_json(kind, data)
    with pytest.raises(BitenergyError):
        to_json(list_of(INT), 5)
