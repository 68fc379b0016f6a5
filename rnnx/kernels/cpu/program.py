"""A function of rows as a table of vector operations, for the native kernel to run.

The function is traced to a jaxpr of elementwise primitives over [N] and scalars. Equal operations become one, products
that are added become one operation, and what is read no more gives its row to what comes next. Booleans are 0 and 1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# In the order of `enum What` in src/plan.h.
WHATS = (
    "copy add sub mul div neg abs max min sign floor sqrt exp expm1 log log1p tanh logistic lt le eq ne select "
    "muladd mulsub submul accumulate bfloat16"
).split()
CODE = {name: number for number, name in enumerate(WHATS)}

_SAME = "add sub mul div neg abs max min sign floor sqrt exp expm1 log log1p tanh logistic lt le eq ne".split()
_COMMUTES = {"add", "mul", "eq", "ne"}
_NOTHING = {"copy", "copy_p", "stop_gradient", "broadcast_in_dim", "optimization_barrier", "pvary"}
INSIDE = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "remat"}
_OTHERS = "add_any gt ge select_n square one_minus_square integer_pow rsqrt exp2 clamp is_finite and or not".split()
ELEMENTWISE = {*_SAME, *_NOTHING, *_OTHERS, "convert_element_type"}  # primitives that a table can stand for
_NUMPY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "abs": np.abs,
    "max": np.maximum, "min": np.minimum, "sign": np.sign, "floor": np.floor, "sqrt": np.sqrt, "exp": np.exp,
    "log": np.log, "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


class Program(NamedTuple):
    """Operations (what, to, a, b, c) over slots: inputs, outputs, constants, then `temporaries`."""

    code: tuple[tuple[int, int, int, int, int], ...]
    constants: tuple[float, ...]
    temporaries: int

    def arrays(self) -> dict[str, Any]:
        """As the kernel takes it."""
        code = np.asarray(self.code, np.int64).reshape(-1)
        return {"code": code, "constants": np.asarray(self.constants, np.float64)}


class Graph:
    """Values and how each follows from others; an equal value is the same value."""

    def __init__(self, inputs: int):
        self.nodes: list[tuple] = [("input", i) for i in range(inputs)]
        self.known: dict[tuple, int] = {node: i for i, node in enumerate(self.nodes)}

    def add(self, *node: Any) -> int:
        if node not in self.known:
            self.known[node] = len(self.nodes)
            self.nodes.append(node)
        return self.known[node]

    def constant(self, value: float) -> int:
        return self.add("constant", float(value))

    def value(self, at: int) -> float | None:
        """Of a constant."""
        what, *rest = self.nodes[at]
        return rest[0] if what == "constant" else None

    def op(self, what: str, *operands: int) -> int:
        """The value of an operation, or a simpler one that equals it."""
        values = [self.value(a) for a in operands]
        if what in _NUMPY and None not in values:
            with np.errstate(all="ignore"):
                return self.constant(_NUMPY[what](*values))
        if what in ("add", "mul") and (what == "mul") in values:  # a + 0, a * 1
            neutral = values.index(what == "mul")
            if what == "mul" or operands[neutral] != operands[1 - neutral]:
                return operands[1 - neutral]
        if what == "bfloat16" and self.nodes[operands[0]][0] == what:
            return operands[0]
        if what == "add":
            for a, b in (operands, operands[::-1]):
                if self.nodes[b][0] == "neg":
                    return self.op("sub", a, self.nodes[b][1])
        if what in ("sub", "neg") and self.nodes[operands[-1]][0] == "neg":
            inner = self.nodes[operands[-1]][1]
            return inner if what == "neg" else self.op("add", operands[0], inner)
        return self.add(what, *(sorted(operands) if what in _COMMUTES else operands))

    def readers(self, at: int, outputs: list[int]) -> list[int]:
        """What of all that `outputs` need reads a value; -1 stands for an output."""
        own = [-1] * outputs.count(at)
        return own + [i for i in _reachable(self.nodes, outputs) if at in _operands(self.nodes[i])]

    def replace(self, at: int, other: int) -> None:
        """Read `other` wherever `at` was read."""
        self.nodes = [
            node if not _operands(node) else (node[0], *(other if a == at else a for a in node[1:]))
            for node in self.nodes
        ]


def _operands(node: tuple) -> tuple:
    return () if node[0] in ("input", "constant") else node[1:]


def traced_once(size: int) -> Callable[[Callable[..., Any]], Any]:
    """`functools.lru_cache` for what traces: as outside any mesh, whoever asks first.

    Inside `jax.shard_map` some of JAX's operations are traced with a `reshard`, for which the table has no code.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        @functools.lru_cache(maxsize=size)
        @functools.wraps(function)
        def alone(*args: Any) -> Any:
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                return function(*args)

        return alone

    return wrap


def trace(function: Callable[..., Any], units: int, dtypes: Any) -> tuple[Graph, list[int]]:
    """The values that `function` of rows [N] returns, in the order of its leaves. One dtype stands for all of them."""
    closed = jax.make_jaxpr(function)(*[jax.ShapeDtypeStruct((units,), dtype) for dtype in dtypes])
    graph, count = Graph(len(dtypes)), len(dtypes)
    return graph, _walk(graph, closed.jaxpr, [_constant(graph, c) for c in closed.consts], list(range(count)))


def _constant(graph: Graph, value: Any) -> int:
    array = np.asarray(value)
    if array.size == 0 or np.any(array != array.flat[0]) and not np.all(np.isnan(array)):
        raise NotImplementedError(f"update holds a constant of shape {array.shape}; the kernel takes one number, "
                                  "or [N] numbers as a weight")  # fmt: skip
    return graph.constant(array.flat[0])


def _walk(graph: Graph, jaxpr: Any, consts: list[int], given: list[int]) -> list[int]:
    known = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> int:
        return _constant(graph, atom.val) if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in INSIDE:
            inner = next(equation.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in equation.params)
            consts = [_constant(graph, c) for c in getattr(inner, "consts", ())]
            out = _walk(graph, getattr(inner, "jaxpr", inner), consts, operands)
        else:
            out = [_operation(graph, name, operands, equation)]
        known.update(zip(equation.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _operation(graph: Graph, name: str, operands: list[int], equation: Any) -> int:
    op, one = graph.op, graph.constant(1)
    if name in _SAME:
        return op(name, *operands)
    if name in _NOTHING:
        return operands[0]
    match name:
        case "add_any":
            return op("add", *operands)
        case "gt" | "ge":
            return op({"gt": "lt", "ge": "le"}[name], *operands[::-1])
        case "select_n" if len(operands) == 3:
            return op("select", *operands)
        case "square":
            return op("mul", *operands * 2)
        case "one_minus_square":
            return op("sub", one, op("mul", *operands * 2))
        case "integer_pow":
            return _power(graph, operands[0], equation.params["y"])
        case "rsqrt":
            return op("div", one, op("sqrt", *operands))
        case "exp2":
            return op("exp", op("mul", operands[0], graph.constant(np.log(2))))
        case "clamp":
            least, value, most = operands
            return op("min", op("max", value, least), most)
        case "is_finite":
            return op("lt", op("abs", *operands), graph.constant(np.inf))
        case "and" | "or" | "not" if equation.invars[0].aval.dtype == bool:
            return op("sub", one, *operands) if name == "not" else op({"and": "mul", "or": "max"}[name], *operands)
        case "convert_element_type":
            return _converted(graph, operands[0], equation.invars[0].aval.dtype, equation.params["new_dtype"])
    raise NotImplementedError(f"update uses {name}, which the native kernel does not have")


def _power(graph: Graph, a: int, y: int) -> int:
    """a^y by squaring."""
    out, square, left = graph.constant(1), a, abs(y)
    while left:
        out = graph.op("mul", out, square) if left % 2 else out
        square, left = graph.op("mul", square, square) if left > 1 else square, left // 2
    return out if y >= 0 else graph.op("div", graph.constant(1), out)


def _converted(graph: Graph, a: int, old: Any, new: Any) -> int:
    was, becomes = ("flag" if t == np.bool_ else jnp.issubdtype(t, jnp.floating) and "float" for t in (old, new))
    if becomes == "flag" and was == "float":
        return graph.op("ne", a, graph.constant(0))
    if new == jnp.bfloat16:
        return graph.op("bfloat16", a)
    if was and becomes and new != jnp.float16:
        return a
    raise NotImplementedError(f"update converts {old} to {new}, which the native kernel does not")


# ------------------------------------------------------------------------------------------------- to a table


def assemble(graph: Graph, inputs: int, outputs: list[int], accumulated: Sequence[int] = ()) -> Program:
    """The table that writes `outputs`, and adds `accumulated` to what stands in the output slots after those."""
    nodes = _fused(graph, [*outputs, *accumulated])
    order = _reachable(nodes, [*outputs, *accumulated])
    constants = [i for i in order if nodes[i][0] == "constant"]
    count = len(outputs) + len(accumulated)
    slot = {i: i for i in order if nodes[i][0] == "input"}
    slot |= {i: inputs + count + n for n, i in enumerate(constants)}
    straight = {}  # values computed where they are wanted
    for n, i in enumerate(outputs):
        if i not in slot and i not in straight:
            straight[i] = inputs + n
    slot |= straight
    last = {a: n for n, i in enumerate(order) for a in _operands(nodes[i])}
    last |= {i: len(order) for i in [*outputs, *accumulated]}
    first = inputs + count + len(constants)
    code, free, most = [], [], 0
    for n, i in enumerate(order):
        what, *operands = nodes[i]
        if what in ("input", "constant"):
            continue
        sources = [slot[a] for a in operands]
        free += [slot[a] for a in dict.fromkeys(operands) if last[a] == n and slot[a] >= first]
        if i not in slot:
            slot[i] = free.pop() if free else first + most
            most = max(most, slot[i] - first + 1)
        code.append((CODE[what], slot[i], *(sources + sources[:1] * 2)[:3]))
    for n, i in enumerate(outputs):
        if slot[i] != inputs + n:
            code.append((CODE["copy"], inputs + n, *(slot[i],) * 3))
    for n, i in enumerate(accumulated):
        code.append((CODE["accumulate"], inputs + len(outputs) + n, *(slot[i],) * 3))
    return Program(tuple(code), tuple(nodes[i][1] for i in constants), most)


def _fused(graph: Graph, outputs: list[int]) -> list[tuple]:
    """Nodes in which a product that is read once, by a sum or difference, is part of that."""
    nodes = list(graph.nodes)
    order = _reachable(nodes, outputs)
    readers = {i: 0 for i in order}
    for read in [outputs, *(_operands(nodes[i]) for i in order)]:
        for i in read:
            readers[i] += 1
    for i in order:
        what, *operands = nodes[i]
        if what not in ("add", "sub"):
            continue
        a, b = operands
        product = next((p for p in (b, a) if nodes[p][0] == "mul" and readers[p] == 1), None)
        if product is None:
            continue
        other = a if product == b else b
        kind = "muladd" if what == "add" else ("mulsub" if product == a else "submul")
        nodes[i] = (kind, *nodes[product][1:], other)
    return nodes


def _reachable(nodes: list[tuple], outputs: list[int]) -> list[int]:
    """What outputs need, in the order in which it can be computed."""
    needed, waiting = set(), list(outputs)
    while waiting:
        i = waiting.pop()
        if i not in needed:
            needed.add(i)
            waiting += _operands(nodes[i])
    return sorted(needed)
