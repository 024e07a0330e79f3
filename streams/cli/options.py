"""Which options do several commands share, and what do exit codes mean?"""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.show import Format

OK, FAILED, USAGE, PARTIAL, NOT_FOUND, WRONG, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

Brokers = Annotated[
    str | None, typer.Option("-b", "--brokers", metavar="HOST:PORT", help="Kafka, several separated by commas.")
]
Property = Annotated[
    list[str] | None, typer.Option("-X", metavar="KEY=VALUE", help="A Java client property; repeatable.")
]
PropertiesFile = Annotated[
    Path | None, typer.Option("-F", metavar="FILE", help="A client.properties file with Java's names.")
]
As = Annotated[Format, typer.Option("-o", help="Output format.")]
