"""What do a provider's headers tell? Its own id of the request, and when it wants to be asked again."""

import re
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

from streams.decisions import retry

ID_NAMES = ("x-request-id", "request-id")
ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)  # goes into errors and logs, so nothing else may be in it


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, where it is a plain word."""
    told = next((headers[name] for name in ID_NAMES if name in headers), "")
    return told if ID.fullmatch(told) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or from a date (which counts from the answer's own ``Date``); None: not told."""
    told = headers.get("retry-after", "").strip()
    sent_s = _sent_s(headers.get("date", ""))
    if sent_s is None and not retry.SECONDS.fullmatch(told):
        return None  # our own clock may be wrong by more than what is asked for
    return retry.retry_after_s(told, sent_s or 0.0)


def _sent_s(date: str) -> float | None:
    try:
        found = parsedate_tz(date)
        return None if found is None else float(mktime_tz(found))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
