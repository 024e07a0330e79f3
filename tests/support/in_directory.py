"""Runs the command line from another working directory: ``python -m tests.support.in_directory DIR worker …``."""

import os
import sys

from streams.cli import main

if __name__ == "__main__":
    os.chdir(sys.argv.pop(1))
    sys.argv[0] = "streams"
    main()
