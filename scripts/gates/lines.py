"""Which lines of a Python file are code? Blank lines, comments and docstrings are not, whoever asks."""

import ast
import io
import tokenize
from pathlib import Path

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> set[int]:
    """Numbers (from 1) of the lines that hold code."""
    loose = loose_string_lines(ast.parse(source))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in LAYOUT or (token.type == tokenize.STRING and token.start[0] in loose):
            continue
        code.update(range(token.start[0], token.end[0] + 1))
    text = source.split("\n")
    return {number for number in code if text[number - 1].strip()}


def loose_string_lines(tree: ast.Module) -> set[int]:
    """Lines of docstrings and of any other string that stands alone as a statement."""
    return {
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def python_files(root: Path, *folders: str) -> list[Path]:
    """Python files below the given folders of the project, sorted."""
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return sorted(path for path in paths if "__pycache__" not in path.parts)
