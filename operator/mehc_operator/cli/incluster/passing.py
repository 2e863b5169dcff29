"""What of the command outside is told to the one inside."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from mehc_checks.core import duration
from mehc_checks.render.terminal import Style

LOCAL: Final = frozenset(
    {"kubeconfig", "context", "in_cluster", "image", "image_pull_secret", "service_account", "start_timeout"}
)
"""Options that only mean something outside."""


def check_words(options: argparse.Namespace, namespace: str) -> Iterator[str]:
    """The command inside, of ``options`` of ``mehc check``. Values files go by name; their text travels apart."""
    # Whatever is read from environment or address: there it is inside.
    yield from ("check", "--inside", "--namespace", namespace, "--output", options.output)
    yield from ("--fail-on", options.fail_on)
    for name in ("release", "resource"):
        if value := getattr(options, name):
            yield from (f"--{name}", value)
    if options.timeout:
        yield from ("--timeout", duration.show(options.timeout))
    for name in ("values", "only", "skip"):
        for value in getattr(options, name):
            yield f"--{name}={value}"
    for check, parameter, value in options.set_parameter:
        yield f"--set-parameter={check}.{parameter}={json.dumps(value, default=str)}"
    for name, value in options.severity:
        yield f"--severity={name}={value}"
    for rule, why in options.ignore_rule:
        yield f"--ignore-rule={rule}={why}"


def relay_words(words: list[str], *, context: str, files: str = "") -> list[str]:
    """The whole command of the container: ``words``, printed as they would be here, where ``context`` is in use."""
    style = Style.of(sys.stdout)
    shown = [f"--width={shutil.get_terminal_size().columns}"] if sys.stdout.isatty() else []
    shown += ["--color"] * style.color + ["--plain"] * style.plain
    shown += [f"--context={context}"] * bool(context)
    return ["relay", *shown, *([f"--files={files}"] if files else []), *words]


def bundle(carried: Mapping[str, str]) -> bytes:
    """The texts of values files by name, as one line."""
    return json.dumps(carried, ensure_ascii=False).encode() + b"\n"
