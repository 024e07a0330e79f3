"""What may a template do, and how much of it? Jinja's sandbox with a short list of allowed parts and a meter on work.

Jinja's own sandbox stops access to Python, not endless work: so every loop step, filter, call and operator counts, no
value grows above the cap, and nothing that is random or prints an address is there.
"""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from topics.errors import OrchestratorError

METER = " meter"  # no template can name it
WIDEST = 100  # of an indent
LARGEST_BITS = 256  # of a whole number
METHODS = frozenset(
    {"endswith", "get", "items", "keys", "lower", "lstrip", "rstrip", "split", "splitlines", "startswith", "strip"}
    | {"upper", "values"}
)
REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter block",
    nodes.AssignBlock: "set block",
    nodes.ScopedEvalContextModifier: "autoescape",
    nodes.NSRef: "assignment to an attribute",
    nodes.Pow: "**",
    nodes.Mod: "%",
}
T = TypeVar("T")


class OutOfBounds(OrchestratorError):
    """A template asks for more than it may, or for a part that is not there; never quotes a value."""

    kind = "template_bounds"

    def __init__(self, reason: str, lineno: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.lineno = reason, lineno


@dataclass(slots=True)
class Meter:
    """What one rendering has left: ``steps`` of loops, filters, calls and operators; ``size`` of one value."""

    steps: int
    work: int
    size: int

    def spend(self, value: T) -> T:
        """Counts one step and what it made."""
        self.steps -= 1
        made = _size(value)
        self.work -= made
        if self.steps < 0 or self.work < 0:
            raise OutOfBounds("it takes too many steps")
        self.room(made)
        return value

    def room(self, size: int) -> None:
        """Refuses a value before it is made."""
        if size > self.size:
            raise OutOfBounds("a value grows too large")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates: strict about names, without escapes for HTML, without loaders."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False, finalize=printed)
        self.globals = {"range": pass_context(_range)}
        self.filters = {name: _metered(function) for name, function in FILTERS.items()} | {METER: _steps}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """One operator, refused before it makes too much."""
        meter = _meter(context)
        if operator == "*":
            meter.room(_product(left, right))
        elif operator == "+":
            meter.room(_size(left) + _size(right))
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and made.bit_length() > LARGEST_BITS:
            raise OutOfBounds("a number grows too large")
        return meter.spend(made)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """One of the allowed methods, or ``range``."""
        made = super().call(context, function, *args, **kwargs)
        return _meter(context).spend(made)


class Bounded(NodeTransformer):
    """Refuses what is not allowed, and puts loops and ``~`` under the meter; raises ``OutOfBounds`` with the line."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        """Every node that has no rule of its own."""
        refused = REFUSED.get(type(node))
        if refused is not None:
            raise OutOfBounds(f"'{refused}' is not allowed", node.lineno)
        return super().generic_visit(node, *args, **kwargs)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """A loop counts its steps, and does not call itself."""
        if node.recursive:
            raise OutOfBounds("'recursive' is not allowed", node.lineno)
        node.iter = nodes.Filter(node.iter, METER, [], [], None, None, lineno=node.lineno)
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """``~`` as a filter, so that its result is measured before it is made."""
        whole = nodes.List(node.nodes, lineno=node.lineno)
        return self.generic_visit(nodes.Filter(whole, "join", [], [], None, None, lineno=node.lineno))

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        """Only ``range`` and methods that make nothing larger."""
        called = node.node
        method = isinstance(called, nodes.Getattr) and called.attr in METHODS
        if not method and not (isinstance(called, nodes.Name) and called.name == "range"):
            raise OutOfBounds(f"only range and {', '.join(sorted(METHODS))} may be called", node.lineno)
        return self.generic_visit(node)


def printed(value: object) -> object:
    """What may be printed: None as nothing, texts and numbers as they are, nothing else."""
    if value is None:
        return ""
    if isinstance(value, str | int | float | Undefined):
        return value
    raise OutOfBounds("a list or an object is printed: name a part of it, or use tojson")


def _meter(context: Context) -> Meter:
    return cast(Meter, context.resolve(METER))


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return 16 * len(value) if isinstance(value, list | tuple | dict) else 8


def _product(left: object, right: object) -> int:
    for one, times in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(times, int):
            return _size(one) * max(times, 0)
    return 0


def _range(context: Context, *bounds: int) -> list[int]:
    """A list, so that its length counts before it is walked."""
    asked = range(*bounds)
    _meter(context).room(16 * len(asked))
    return list(asked)


@pass_context
def _steps(context: Context, values: Iterable[T]) -> Iterator[T]:
    meter = _meter(context)
    for value in values:
        meter.spend(None)
        yield value


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def filtered(context: Context, *args: Any, **kwargs: Any) -> Any:
        meter = _meter(context)
        meter.spend(None)
        return meter.spend(function(meter, *args, **kwargs))

    return filtered


def _text(value: object) -> str:
    return str(printed(value))


def _join(meter: Meter, values: Iterable[object], between: str = "") -> str:
    texts = [_text(value) for value in values]
    meter.room(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _replace(meter: Meter, value: object, old: str, new: str) -> str:
    text = _text(value)
    meter.room(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _indent(meter: Meter, value: object, width: int = 4, first: bool = False) -> str:
    text = _text(value)
    if width > WIDEST:
        raise OutOfBounds(f"an indent is above {WIDEST}")
    meter.room(len(text) + (text.count("\n") + 1) * width)
    space = " " * width
    return (space if first else "") + textwrap.indent(text, space).removeprefix(space)


def _default(meter: Meter, value: object, instead: object = "", falsy: bool = False) -> object:
    missing = isinstance(value, Undefined) or (falsy and not value)
    return instead if missing else value


def _truncate(meter: Meter, value: object, length: int = 255, end: str = "…") -> str:
    text = _text(value)
    return text if len(text) <= length else text[: max(length - len(end), 0)] + end


def _map(meter: Meter, values: Iterable[Mapping[str, Any]], attribute: str) -> list[object]:
    return [value[attribute] for value in values]


def _sort(meter: Meter, values: Iterable[Any], attribute: str | None = None, reverse: bool = False) -> list[Any]:
    by = None if attribute is None else (lambda value: value[attribute])
    return sorted(values, key=by, reverse=reverse)


def _plain(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda meter, value: function(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "indent": _indent,
    "join": _join,
    "map": _map,
    "replace": _replace,
    "round": lambda meter, value, digits=0: round(value, digits),
    "sort": _sort,
    "truncate": _truncate,
    "abs": _plain(abs),
    "capitalize": _plain(lambda value: _text(value).capitalize()),
    "first": _plain(lambda values: next(iter(values))),
    "float": _plain(float),
    "int": _plain(int),
    "items": _plain(lambda value: list(value.items())),
    "last": _plain(lambda values: values[-1]),
    "length": _plain(len),
    "list": _plain(list),
    "lower": _plain(lambda value: _text(value).lower()),
    "reverse": _plain(lambda values: values[::-1]),
    "string": _plain(_text),
    "title": _plain(lambda value: _text(value).title()),
    "tojson": _plain(lambda value: json.dumps(value, ensure_ascii=False)),
    "trim": _plain(lambda value: _text(value).strip()),
    "unique": _plain(lambda values: list(dict.fromkeys(values))),
    "upper": _plain(lambda value: _text(value).upper()),
    "wordcount": lambda meter, value: len(meter.spend(_text(value)).split()),
}
