"""Which calls and handlers can end the process, hide a failure, run foreign code or block the event loop?"""

import ast
from collections.abc import Iterator

from scripts.gates.finding import Finding
from scripts.gates.names import Module

CLI = "streams/cli/"
MAY_EXIT = {"streams/engine/exit.py", "streams/cli/__init__.py"}
EXITS = {"sys.exit", "os._exit", "os.abort", "builtins.exit", "builtins.quit"}
FOREIGN_CODE = {"builtins.eval", "builtins.exec"}
FOREIGN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
BROAD = {"builtins.Exception", "builtins.BaseException"}
BLOCKING_MODULES = {"subprocess", "requests", "shutil", "urllib.request"}
BLOCKING_OS = """
    system popen remove unlink rename replace mkdir makedirs rmdir removedirs listdir scandir walk stat wait waitpid
    open fsync truncate utime link symlink
"""
BLOCKING = {f"os.{name}" for name in BLOCKING_OS.split()} | {
    "time.sleep",
    "builtins.open",
    "builtins.input",
    "io.open",
    "fcntl.flock",
    "fcntl.lockf",
    "httpx.get",
    "httpx.post",
    "socket.create_connection",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "tempfile.mkdtemp",
    "tempfile.mkstemp",
}
BLOCKING_PATH = """
    read_text write_text read_bytes write_bytes mkdir rmdir unlink touch iterdir rglob symlink_to hardlink_to
"""
BLOCKING_METHODS = set(BLOCKING_PATH.split())
SPAWNERS = {"create_task", "ensure_future"}


def scan(module: Module) -> Iterator[Finding]:
    """Findings in the statements of one file."""
    groups = task_groups(module)
    for node in ast.walk(module.tree):
        for line, rule, hint in [*breaches(module, node), *dropped_tasks(module, node, groups)]:
            yield Finding(module.path, line, rule, hint)
        if isinstance(node, ast.AsyncFunctionDef):
            yield from blocking(module, node)


def breaches(module: Module, node: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Breaches that one node shows by itself."""
    match node:
        case ast.Assert():
            yield node.lineno, "assert", "raise an OrchestratorError; assertions vanish with -O"
        case ast.ExceptHandler():
            yield from handler(module, node)
        case ast.Call():
            yield from call(module, node)
        case ast.Import() | ast.ImportFrom():
            for name in imported(node):
                if name.split(".")[0] in FOREIGN_MODULES:
                    yield node.lineno, "pickle", "it runs what it reads; use topics.wire"
                if name in EXITS and module.path not in MAY_EXIT:
                    yield node.lineno, "exit", "only engine/exit.py and the CLI entry end the process"
        case ast.Name(id="SystemExit") if module.path not in MAY_EXIT:
            yield node.lineno, "exit", "only engine/exit.py and the CLI entry end the process"


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that an import brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module or ''}.{alias.name}" for alias in node.names]


def call(module: Module, node: ast.Call) -> Iterator[tuple[int, str, str]]:
    """Calls that are forbidden wherever they stand."""
    name = module.resolve(node.func)
    if name in EXITS and module.path not in MAY_EXIT:
        yield node.lineno, "exit", "only engine/exit.py and the CLI entry end the process"
    if name in FOREIGN_CODE:
        yield node.lineno, name.removeprefix("builtins."), "never run text as code"
    if name.endswith("suppress") and any(module.resolve(arg) in BROAD for arg in node.args):
        yield node.lineno, "suppress", "name the errors that are expected, or handle them"
    if name in {"builtins.print", "rich.print"} and not module.path.startswith(CLI):
        yield node.lineno, "print", "only the CLI prints; observe or log it"


def handler(module: Module, node: ast.ExceptHandler) -> Iterator[tuple[int, str, str]]:
    """An ``except`` clause that catches too much or does nothing."""
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    if node.type is None:
        yield node.lineno, "bare except", "name what is caught"
    if any(module.resolve(kind) == "builtins.BaseException" for kind in caught) and not reraises(node):
        yield node.lineno, "except BaseException", "end it with a bare raise on every path"
    if all(isinstance(line, ast.Pass) or is_constant(line) for line in node.body):
        yield node.lineno, "except: pass", "handle it, count it, or let it go up"


def is_constant(line: ast.stmt) -> bool:
    """``...`` or a lone string."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def reraises(node: ast.ExceptHandler) -> bool:
    """Does every way through the handler end by raising what was caught?"""
    leaves = any(isinstance(inner, ast.Return | ast.Continue | ast.Break) for inner in own_nodes(node))
    return not leaves and ends_in_reraise(node.body, node.name)


def ends_in_reraise(body: list[ast.stmt], name: str | None) -> bool:
    """Does a block end in ``raise``, bare or with the caught name?"""
    match body[-1:]:
        case [ast.Raise(exc=None)]:
            return True
        case [ast.Raise(exc=ast.Name(id=raised))]:
            return raised == name
        case [ast.If(body=yes, orelse=no)]:
            return ends_in_reraise(yes, name) and ends_in_reraise(no, name)
        case [ast.With(body=inner) | ast.AsyncWith(body=inner) | ast.Try(finalbody=[_, *_] as inner)]:
            return ends_in_reraise(inner, name)
        case _:
            return False


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without those of nested functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def blocking(module: Module, function: ast.AsyncFunctionDef) -> Iterator[Finding]:
    """Calls that stop the event loop while they wait."""
    for statement in function.body:
        for node in [statement, *own_nodes(statement)] if not is_function(statement) else []:
            if isinstance(node, ast.Call) and blocks(module, node):
                yield Finding(module.path, node.lineno, "blocking", "use asyncio's own, or asyncio.to_thread")


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def blocks(module: Module, node: ast.Call) -> bool:
    """Is this a call that waits for a disk, a process, a peer or the clock?"""
    name = module.resolve(node.func)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return name in BLOCKING or name.rpartition(".")[0] in BLOCKING_MODULES or method in BLOCKING_METHODS


def task_groups(module: Module) -> set[str]:
    """Names bound by ``async with TaskGroup() as name``: a group keeps its tasks."""
    return {
        item.optional_vars.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name)
        if isinstance(item.context_expr, ast.Call) and module.resolve(item.context_expr.func).endswith("TaskGroup")
    }


def dropped_tasks(module: Module, node: ast.AST, groups: set[str]) -> Iterator[tuple[int, str, str]]:
    """Tasks that nobody holds: the loop keeps only weak references, and their errors are lost."""
    match node:
        case ast.Expr(value=ast.Call() as spawned):
            pass
        case ast.Assign(targets=[ast.Name(id="_")], value=ast.Call() as spawned):
            pass
        case _:
            return
    owner = spawned.func.value if isinstance(spawned.func, ast.Attribute) else None
    kept = isinstance(owner, ast.Name) and owner.id in groups
    spawner = spawned.func.attr if isinstance(spawned.func, ast.Attribute) else module.resolve(spawned.func)
    if spawner.rpartition(".")[2] in SPAWNERS and not kept:
        yield node.lineno, "dropped task", "hold the task and look at its result"
