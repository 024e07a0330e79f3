"""``python -m streams``: the command line, also how the supervisor starts workers."""

from streams.cli import main

if __name__ == "__main__":
    main()
