"""Which installed dependencies have known vulnerabilities, and which could not be asked about?"""

import json
import sys
from typing import NamedTuple


class Audit(NamedTuple):
    """From pip-audit's JSON: what was audited, what could not be, and ``name version: id`` of each vulnerability."""

    audited: int
    unknown: list[str]
    vulnerable: list[str]

    def lines(self) -> list[str]:
        """For people; says plainly when nobody could be asked."""
        total = self.audited + len(self.unknown)
        if not self.audited:
            return ["Dependencies NOT audited: the advisory service cannot be reached, or knows none of them"]
        said = [f"Dependencies audited: {self.audited} of {total}, {len(self.vulnerable)} known vulnerabilities"]
        missed = [f"NOT audited, unknown to the advisory service: {', '.join(self.unknown)}"] if self.unknown else []
        return [*said, *missed, *self.vulnerable]


def read(text: str) -> Audit:
    """The result of ``pip-audit --format json``; anything else counts as no answer."""
    try:
        listed = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audit(0, [], [])
    unknown = [one["name"] for one in listed if "skip_reason" in one]
    found = [(one, vuln) for one in listed for vuln in one.get("vulns", [])]
    vulnerable = [f"{one['name']} {one['version']}: {vuln['id']}" for one, vuln in found]
    return Audit(len(listed) - len(unknown), unknown, vulnerable)


def main(text: str) -> int:
    """Print the result; 1 when there is a known vulnerability."""
    audit = read(text)
    print("\n".join(audit.lines()))
    return 1 if audit.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))
