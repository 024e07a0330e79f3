"""What do a provider's headers tell? Its own id of the request, and when it wants to be asked again."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 7 * 86_400.0  # no request lives longer
ID_NAMES = ("x-request-id", "request-id")
ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)  # goes into errors and logs, so nothing else may be in it


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, where it is a plain word."""
    told = next((headers[name] for name in ID_NAMES if name in headers), "")
    return told if ID.fullmatch(told) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or from a date (which counts from the answer's own ``Date``); None: not told."""
    told = headers.get("retry-after")
    if not told:
        return None
    seconds = _number(told)
    if seconds is None:
        until, sent = _date(told), _date(headers.get("date", ""))
        seconds = (until - sent).total_seconds() if until and sent else None
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_S)


def _number(told: str) -> float | None:
    try:
        seconds = float(told)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _date(told: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(told)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
