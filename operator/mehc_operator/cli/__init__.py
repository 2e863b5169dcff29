"""The command ``mehc``, also as ``kubectl mehc``.

Exit status: 0 healthy, 1 a check failed, 2 it could not run. Errors are one line on stderr.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from mehc_checks.core.errors import MehcError

_COMMANDS = ("check", "explain", "lint", "catalog", "run")
"""Each is a module of this package with HELP, ``arguments(parser)`` and ``execute(options) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    name = "kubectl mehc" if sys.argv[0].endswith("kubectl-mehc") else "mehc"
    try:
        options = _parser(name).parse_args(argv)
        status: int = options.execute(options)
        sys.stdout.flush()
    except MehcError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the whole usage before it."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(name: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=name,
        description="Says what is broken in an installation of model engine, why, and how to mend it.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        module = import_module(f"{__name__}.{command}")
        sub = commands.add_parser(command, help=module.HELP, description=module.__doc__)
        module.arguments(sub)
        sub.set_defaults(execute=module.execute)
    return parser
