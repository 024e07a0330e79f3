"""Is every accepted prompt answered once, and nothing invented? The checker, over a live cluster or exported files.

Effects are read before their causes, and what groups have committed before both: so whatever is committed has its
effect in view, and every effect its cause, while the pipeline goes on working.
"""

from streams.verify.files import Exported, exporting
from streams.verify.live import Live, Source, check, readers, verify

__all__ = ["Exported", "Live", "Source", "check", "exporting", "readers", "verify"]
