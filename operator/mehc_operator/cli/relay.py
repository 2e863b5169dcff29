"""Run a command in a pod for one that waits outside (mehc check --in-cluster), and send it what is printed."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path

from mehc_checks.core.errors import UsageError
from mehc_operator.cli import main
from mehc_operator.cli.incluster.frames import Sender, Stream


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--width", default="", help="columns of the terminal outside")
    parser.add_argument("--color", action="store_true", help="it shows colors")
    parser.add_argument("--plain", action="store_true", help="it shows nothing but ASCII")
    parser.add_argument("--context", default="", help="the context there, which a report names")
    parser.add_argument(
        "--files", default="", help="the values files, as a JSON object; - reads one line of standard input"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the command and its arguments")


def execute(options: argparse.Namespace) -> int:
    sender = Sender(sys.stdout.buffer)
    sender.send(version=version("mehc"))
    if options.width:
        os.environ["COLUMNS"] = options.width
    streams = [Stream(sender, kind, color=options.color, plain=options.plain) for kind in ("out", "err")]
    with sender.beating(), redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            status = main(options.words, carried=_carried(options.files), shown_context=options.context)
        except SystemExit as left:  # arguments that this version does not know
            status = left.code if isinstance(left.code, int) else 2
    sender.send(status=status)
    return 0  # a Job with another status would count as failed


def _carried(file: str) -> Mapping[str, str]:
    """The text of each values file by its name outside. Raises UsageError."""
    if not file:
        return {}
    try:
        text = sys.stdin.buffer.readline() if file == "-" else Path(file).read_bytes()
        found: dict[str, str] = json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--files {file}: {type(error).__name__}") from None
    return found
