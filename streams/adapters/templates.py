"""Which templates are in a directory, and what does each make of a request? Checked whole at the start, by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, UndefinedError, meta, nodes

from streams.adapters.sandbox import METER, Bounded, Meter, OutOfBounds, Sandbox
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError, TemplateFailed

FIELD, SYSTEM, SUFFIX = "assemble.templates_dir", "assemble.system_file", ".j2"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VALUES = ("prompt", "messages", "passages", "context", "metadata", "model", "tenant")
WORK = 16  # sizes of the largest text that all steps of one rendering may make together


@dataclass(frozen=True, slots=True)
class Bounds:
    """``max_bytes`` of UTF-8 that a template may make, ``max_steps`` of loops, filters, calls and operators."""

    max_bytes: int = PROMPT_BYTES
    max_steps: int = 20_000


class FileTemplate:
    """One file, compiled."""

    def __init__(self, path: Path, source: bytes, bounds: Bounds) -> None:
        self.name, self.version = path.name.removesuffix(SUFFIX), sha256(source).hexdigest()
        self._path, self._bounds = str(path), bounds
        self._compiled, self.reads = _compiled(path, source)

    def render(self, values: Mapping[str, Any]) -> str:
        """The text; raises ``TemplateFailed``, which names the line and never quotes what was rendered."""
        meter = Meter(self._bounds.max_steps, self._bounds.max_bytes * WORK, self._bounds.max_bytes)
        try:
            text = self._text({**values, METER: meter})
        except OutOfBounds as refused:
            raise TemplateFailed(self.name, self._line(refused), refused.reason) from refused
        except UndefinedError as missing:
            reason = "it reads something that the request does not have"
            raise TemplateFailed(self.name, self._line(missing), reason) from None  # its text may quote the prompt
        except Exception as raised:
            reason = type(raised).__name__
            raise TemplateFailed(self.name, self._line(raised), reason) from None  # its text may quote the prompt
        if not text.strip():
            raise TemplateFailed(self.name, None, "nothing comes out")
        return text

    def _text(self, values: Mapping[str, Any]) -> str:
        """Piece by piece, so that the cap holds while the text grows."""
        pieces, left = list[str](), self._bounds.max_bytes
        for piece in self._compiled.generate(values):
            left -= len(piece.encode())
            if left < 0:
                raise OutOfBounds(f"it makes more than {self._bounds.max_bytes} bytes")
            pieces.append(piece)
        return "".join(pieces)

    def _line(self, raised: BaseException) -> int | None:
        """The last line of the template on the way to the error."""
        line, frame = None, raised.__traceback__
        while frame is not None:
            line = frame.tb_lineno if frame.tb_frame.f_code.co_filename == self._path else line
            frame = frame.tb_next
        return line


def load(directory: Path | None, bounds: Bounds | None = None) -> Mapping[str, FileTemplate]:
    """Every ``*.j2`` of a directory by its name without that; ``ConfigurationError`` names file, line and fix."""
    if directory is None:
        return MappingProxyType({})
    if not directory.is_dir():
        raise ConfigurationError(FIELD, str(directory), "there is no such directory")
    files = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX) and path.is_file())
    found = (_read(path, bounds or Bounds()) for path in files)
    return MappingProxyType({template.name: template for template in found})


def system_text(path: Path) -> str:
    """The text of a file, without white space around it; ``ConfigurationError`` names what is wrong with it."""
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError(SYSTEM, str(path), f"it cannot be read ({type(bad).__name__})") from bad
    if not text:
        raise ConfigurationError(SYSTEM, str(path), "it is empty: write the text, or leave the setting out")
    return text


def _read(path: Path, bounds: Bounds) -> FileTemplate:
    if not NAME.fullmatch(path.name.removesuffix(SUFFIX)):
        raise ConfigurationError(FIELD, str(path), "name it with letters, digits, '.', '_' and '-'")
    try:
        source = path.read_bytes()
    except OSError as bad:
        raise ConfigurationError(FIELD, str(path), f"it cannot be read ({type(bad).__name__})") from bad
    return FileTemplate(path, source, bounds)


def _compiled(path: Path, source: bytes) -> tuple[Template, frozenset[str]]:
    sandbox = Sandbox()
    try:
        tree = sandbox.parse(source.decode(), path.name, str(path))
        reads = frozenset(meta.find_undeclared_variables(tree)) - {"range"}
        _known(tree, reads, path)
        code = sandbox.compile(Bounded().visit(tree), path.name, str(path))
    except UnicodeDecodeError as bad:
        raise ConfigurationError(FIELD, str(path), f"write it in UTF-8 (byte {bad.start} is not)") from bad
    except TemplateSyntaxError as bad:
        raise ConfigurationError(FIELD, f"{path}:{bad.lineno}", f"mend the line: {bad.message}") from bad
    except OutOfBounds as bad:
        raise ConfigurationError(FIELD, f"{path}:{bad.lineno}", f"{bad.reason} in a template: leave it out") from bad
    return Template.from_code(sandbox, code, {**sandbox.globals}), reads


def _known(tree: nodes.Template, reads: frozenset[str], path: Path) -> None:
    for node in tree.find_all(nodes.Name):
        if node.name in reads - set(VALUES):
            near = get_close_matches(node.name, VALUES, n=1)
            advice = f"did you mean {near[0]}? " if near else ""
            told = f"{node.name} is not there: {advice}there are {', '.join(VALUES)}"
            raise ConfigurationError(FIELD, f"{path}:{node.lineno}", told)


__all__ = ["VALUES", "Bounds", "FileTemplate", "load", "system_text"]
