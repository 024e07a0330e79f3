"""Which commands are there, and which exit code does each way of ending have?"""

import sys
from collections.abc import Sequence

import typer

from streams.cli import (  # one a verb
    breaker,
    config,
    dlq,
    documents,
    drill,
    get,
    show,
    status,
    submit,
    tail,
    tokens,
    topics,
    up,
    verify,
    worker,
)
from streams.cli.connect import Outside
from streams.cli.options import FAILED, INTERRUPTED, OK, USAGE
from topics.errors import ConfigurationError, OrchestratorError

app: typer.Typer = typer.Typer(
    name="streams",
    help="LLM prompts as an event stream over Kafka: submit prompts, get each answer once.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (up.up, worker.worker, submit.submit, get.get, tail.tail, status.status, verify.verify):
    app.command()(verb)
app.add_typer(dlq.app, name="dlq")
app.add_typer(breaker.app, name="breaker")
app.add_typer(documents.app, name="documents")
app.add_typer(drill.app, name="drill")
app.add_typer(topics.app, name="topics")
app.add_typer(config.app, name="config")
app.add_typer(tokens.app, name="tokens")


def run(arguments: Sequence[str], outside: Outside | None = None) -> int:
    """Runs one command and returns its exit code; errors become one line on stderr. A closed pipe ends it quietly."""
    command = typer.main.get_command(app)
    try:
        code = command.main(
            list(arguments) or ["--help"], prog_name="streams", standalone_mode=False, obj=outside or Outside()
        )
    except typer.TyperException as wrong:
        return _failed(wrong.format_message(), wrong.exit_code)
    except ConfigurationError as wrong:
        return _failed(wrong, USAGE)
    except OrchestratorError as failed:
        return _failed(failed, FAILED)
    except OSError as full:  # stdout is full or gone: errors of other files are ours by now
        return _failed(full, FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _failed(what: object, code: int) -> int:
    sys.stderr.write(f"error: {show.prose(str(what))}\n")
    return code
