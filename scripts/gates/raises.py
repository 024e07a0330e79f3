"""Is everything that production code raises one of our own errors, or one of the few allowed exceptions to that?"""

import ast
from collections.abc import Iterator

from scripts.gates.finding import Finding
from scripts.gates.names import Module, Names

CLI = "streams/cli/"
CLI_FRAMEWORKS = {"typer", "click"}
IN_DUNDERS = {"builtins.KeyError", "builtins.AttributeError", "builtins.StopIteration", "builtins.StopAsyncIteration"}
PYDANTIC = {"field_validator", "model_validator"}
VALIDATORS = PYDANTIC | {"BeforeValidator", "AfterValidator", "PlainValidator", "WrapValidator"}
HINT = "raise an OrchestratorError that says what to do next"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def scan(module: Module, names: Names) -> Iterator[Finding]:
    """Findings in the ``raise`` statements of one file."""
    validators = passed_validators(module)
    for function, node in raise_statements(module.tree, None):
        for raised in branches(node.exc):
            if not allowed(module, names, function, raised, validators):
                yield Finding(module.path, node.lineno, "foreign raise", HINT)


def raise_statements(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.Raise]]:
    """Each ``raise`` with the function around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            yield function, child
        inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from raise_statements(child, inner)


def branches(raised: ast.expr | None) -> list[ast.expr]:
    """Both sides of a conditional expression."""
    if isinstance(raised, ast.IfExp):
        return [*branches(raised.body), *branches(raised.orelse)]
    return [raised] if raised is not None else []


def allowed(module: Module, names: Names, function: Function | None, raised: ast.expr, validators: set[str]) -> bool:
    """Our own error, what was just caught, or an exception that its place allows."""
    kind = module.resolve(raised.func if isinstance(raised, ast.Call) else raised)
    if names.is_error(kind) or (isinstance(raised, ast.Call) and names.makes_error(module, raised)):
        return True
    if isinstance(raised, ast.Attribute) and names.holds_error(raised):
        return True
    if isinstance(raised, ast.Name) and holds_ours(module, names, function or module.tree, raised.id):
        return True
    if module.path.startswith(CLI) and kind.split(".")[0] in CLI_FRAMEWORKS:
        return True
    if function is None:
        return False
    if kind == "builtins.ValueError":
        return is_validator(module, function, validators)
    return kind in IN_DUNDERS and function.name.startswith("__") and function.name.endswith("__")


def holds_ours(module: Module, names: Names, scope: Function | ast.Module, name: str) -> bool:
    """Is a local name a caught error, or annotated or assigned as one of ours?"""
    takes = ast.arguments([], [], None, [], [], None, []) if isinstance(scope, ast.Module) else scope.args
    arguments = [*takes.posonlyargs, *takes.args, *takes.kwonlyargs]
    if any(arg.arg == name and names.is_error(module.resolve(arg.annotation)) for arg in arguments):
        return True
    assigned = []
    for node in ast.walk(scope):
        match node:
            case ast.ExceptHandler(name=caught) if caught == name:
                return True
            case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=tested), kinds]) if tested == name:
                of = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
                if all(names.is_error(module.resolve(kind)) for kind in of):
                    return True
            case ast.AnnAssign(target=ast.Name(id=target), annotation=annotation) if target == name:
                assigned.append(names.is_error(module.resolve(annotation)))
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                assigned.append(isinstance(value, ast.Call) and names.makes_error(module, value))
    return bool(assigned) and all(assigned)


def is_validator(module: Module, function: Function, passed: set[str]) -> bool:
    """Is the function one of pydantic's validators, by decorator or handed to one?"""
    decorators = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return function.name in passed or any(module.resolve(node).rpartition(".")[2] in VALIDATORS for node in decorators)


def passed_validators(module: Module) -> set[str]:
    """Functions given to ``AfterValidator(…)`` and its kin."""
    return {
        arg.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and module.resolve(node.func).rpartition(".")[2] in VALIDATORS
        for arg in node.args
        if isinstance(arg, ast.Name)
    }
