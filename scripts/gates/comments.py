"""Which comments break a law: unfinished work, or an exemption without its reason on the line?"""

import io
import re
import tokenize
from collections.abc import Iterator

from scripts.gates.finding import Finding
from scripts.gates.names import Module

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
EXEMPTION = re.compile(
    r"""(?:ruff:\s*|flake8:\s*)?noqa\b(?::\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?  # lint
    |type:\s*ignore(?:\[[^\]]*\])?|mypy:\s*[\w-]+(?:\s*=\s*\S+)?  # types
    |pragma:\s*no\s*(?:cover|branch)  # coverage""",
    re.VERBOSE | re.IGNORECASE,
)
REASON = re.compile(r"[^\W\d_]{2,}.*?\b[^\W\d_]{2,}")


def scan(module: Module) -> Iterator[Finding]:
    """Findings in the comments and strings of one file."""
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type not in {tokenize.COMMENT, tokenize.STRING}:
            continue
        for found in UNFINISHED.finditer(token.string):
            line = token.start[0] + token.string.count("\n", 0, found.start())
            yield Finding(module.path, line, "unfinished", f"finish it, or plan it in ROADMAP.md ({found[0]})")
        if token.type == tokenize.COMMENT and EXEMPTION.search(token.string):
            reason = EXEMPTION.sub(" ", token.string)
            if not REASON.search(reason):
                yield Finding(module.path, token.start[0], "exemption", "say on the line why it is needed")
