"""Arguments that several commands take."""

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from mehc_checks.core import duration
from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.valuesfile import LARGEST, ValuesFile, read


def cluster_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="the kubeconfig to use")
    parser.add_argument("--context", default="", metavar="NAME", help="the context of the kubeconfig to use")


def positive(text: str) -> int:
    """An argument's type: an integer from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def port(text: str) -> int:
    """An argument's type: a TCP port, or 0."""
    if not 0 <= (number := int(text)) <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return number


def length(text: str) -> timedelta:
    """An argument's type: a duration longer than nothing."""
    try:
        time = duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not time:
        raise argparse.ArgumentTypeError("must be longer than nothing")
    return time


def values_file(file: str) -> ValuesFile:
    """The values file ``file``, "-" for standard input. Raises UsageError that names it."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file or '--values'}: {error.strerror}") from None
    return read(content, where=file)
