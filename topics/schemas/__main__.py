"""Command line of the schemas: writes them into the directory named as its one argument."""

import sys
from pathlib import Path

from topics import schemas

schemas.write(Path(sys.argv[1]))
