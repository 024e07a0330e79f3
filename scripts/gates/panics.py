"""Does production code hold a form that could end a worker, hide a failure or block its loop?"""

import sys
from pathlib import Path

from scripts.gates import comments, raises, risks
from scripts.gates.finding import Finding
from scripts.gates.lines import python_files
from scripts.gates.names import Module, Names

PRODUCTION = ("topics", "streams")
ROOT = Path(__file__).resolve().parents[2]


def scan(root: Path) -> list[Finding]:
    """Everything forbidden that is found below ``topics`` and ``streams``, sorted."""
    modules, findings = [], []
    for path in python_files(root, *PRODUCTION):
        try:
            modules.append(Module.load(root, path))
        except SyntaxError as bad:
            line = bad.lineno or 0
            findings.append(Finding(path.relative_to(root).as_posix(), line, "syntax", "the file does not parse"))
    names = Names(modules)
    for module in modules:
        findings += comments.scan(module)
        findings += risks.scan(module)
        findings += raises.scan(module, names)
    return sorted(set(findings))


def main(root: Path = ROOT) -> int:
    """Print the findings; 0 when there are none, else 1."""
    findings = scan(root)
    for finding in findings:
        print(finding)
    print(f"Panic scan: {len(python_files(root, *PRODUCTION))} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
