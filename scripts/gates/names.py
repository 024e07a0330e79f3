"""What does a name in production code stand for? Imports and classes resolved over all files, none run."""

import ast
import builtins
from dataclasses import dataclass, field
from pathlib import Path

ROOT_ERROR = "topics.errors.OrchestratorError"


@dataclass
class Module:
    """One parsed production file; ``names`` maps what it imports and defines to dotted paths."""

    path: str
    source: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)

    @property
    def dotted(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @classmethod
    def load(cls, root: Path, path: Path) -> "Module":
        source = path.read_text("utf-8")
        module = cls(path.relative_to(root).as_posix(), source, ast.parse(source))
        module.names = dict(module._bindings())
        return module

    def _bindings(self) -> list[tuple[str, str]]:
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for a in node.names:
                    top = a.name.split(".")[0]
                    found.append((a.asname, a.name) if a.asname else (top, top))
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found += [(a.asname or a.name, f"{base}.{a.name}") for a in node.names]
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((node.name, f"{self.dotted}.{node.name}"))
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        package = self.path.split("/")[:-1]
        base = package[: len(package) - node.level + 1] if node.level else []
        return ".".join([*base, *([node.module] if node.module else [])])

    def resolve(self, node: ast.expr | None) -> str:
        """Dotted path of a name or attribute chain; ``""`` for anything else."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name) or (f"builtins.{name}" if hasattr(builtins, name) else name)
            case ast.Attribute(value=value, attr=attr):
                base = self.resolve(value)
                return f"{base}.{attr}" if base else ""
            case ast.Constant(value=str() as quoted) if quoted.isidentifier():
                return self.resolve(ast.Name(quoted))
            case _:
                return ""


class Names:
    """The production code as a whole: which classes derive from the error root, which calls make one."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules
        self._exports = {f"{m.dotted}.{name}": target for m in modules for name, target in m.names.items()}
        self._bases = {
            f"{m.dotted}.{node.name}": [self.canonical(m.resolve(base)) for base in node.bases]
            for m in modules
            for node in ast.walk(m.tree)
            if isinstance(node, ast.ClassDef)
        }
        self._makers = {
            f"{m.dotted}.{node.name}"
            for m in modules
            for node in m.tree.body
            if isinstance(node, ast.FunctionDef) and self.is_error(m.resolve(node.returns))
        }
        self._methods = {
            node.name
            for m in modules
            for owner in ast.walk(m.tree)
            if isinstance(owner, ast.ClassDef)
            for node in owner.body
            if isinstance(node, ast.FunctionDef) and self.is_error(m.resolve(node.returns))
        }
        self._fields = {
            node.target.id
            for m in modules
            for owner in ast.walk(m.tree)
            if isinstance(owner, ast.ClassDef)
            for node in owner.body
            if isinstance(node, ast.AnnAssign)
            if isinstance(node.target, ast.Name) and self.is_error(m.resolve(node.annotation))
        }

    def canonical(self, dotted: str) -> str:
        """Where a re-exported name is defined."""
        for _ in range(8):
            target = self._exports.get(dotted, dotted)
            if target == dotted:
                break
            dotted = target
        return dotted

    def is_error(self, dotted: str) -> bool:
        """Is this class the error root or below it?"""
        seen, queue = set(), [self.canonical(dotted)]
        while queue:
            name = queue.pop()
            if name == ROOT_ERROR:
                return True
            if name not in seen:
                seen.add(name)
                queue += self._bases.get(name, [])
        return False

    def makes_error(self, module: Module, call: ast.Call) -> bool:
        """Does this call return one of our errors: a class, or a function or method annotated so?"""
        dotted = module.resolve(call.func)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "with_traceback":
            return False
        local_method = isinstance(call.func, ast.Attribute) and call.func.attr in self._methods
        return self.is_error(dotted) or self.canonical(dotted) in self._makers or local_method

    def holds_error(self, attribute: ast.Attribute) -> bool:
        """Is there a field of this name that is annotated as one of our errors?"""
        return attribute.attr in self._fields

    def error_names(self) -> set[str]:
        """Simple names of all classes below the root."""
        return {name.rsplit(".", 1)[1] for name in self._bases if self.is_error(name) and name != ROOT_ERROR}
