"""The command ``mehc``, also as ``kubectl mehc``.

Exit status: 0 healthy, 1 a check failed, 2 it could not run. Errors are one line on stderr.
"""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

from mehc_checks.core.errors import MehcError

_COMMANDS: Final = {
    "status": "show the verdict that the operator has stored",
    "probe": "have the operator probe now, and show what has changed",
    "mute": "keep a known finding from alerting for a while",
    "unmute": "end a mute before its time",
    "check": "check an installation once and print the report",
    "bundle": "write one archive to attach to a ticket, without secrets",
    "explain": "explain why endpoints are not ready",
    "lint": "judge values files before the install",
    "reason": "explain a reason or a configuration rule, offline",
    "catalog": "list the checks and everything that each can find",
    "completion": "print the completion script of a shell",
    "run": "run the operator",
}
"""Each is a module of this package with ``arguments(parser)`` and ``execute(options) -> int``, imported when used."""

_HIDDEN: Final = {"relay": "run a command in a pod for mehc check --in-cluster"}
"""Commands that only mehc itself runs; no help lists them."""

_COMPLETING: Final = "_ARGCOMPLETE"
"""The variable by which a shell asks for the words that could come next."""
_FRAMES: Final = 4
"""The innermost frames that an internal error names."""

_EXIT_STATUS: Final = "exit status: 0 healthy, 1 a check failed (see --fail-on), 2 it could not run"
_EXAMPLES: Final = """\
examples:
  {name} status -n model-engine             what the operator has found, and how to fix it
  {name} check -n model-engine              check the installation in namespace model-engine, without the operator
  {name} explain -n model-engine            explain every endpoint that is not ready
  {name} lint values.yaml                   judge a values file before helm install
  {name} check -n model-engine -o json      the same report for programs
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    carried: Mapping[str, str] = MappingProxyType({}),
    shown_context: str = "",
) -> int:
    """Run the command and return its exit status.

    For another command elsewhere: ``carried`` has the texts of its values files, ``shown_context`` is its context.
    """
    name = "kubectl mehc" if sys.argv[0].endswith("kubectl-mehc") else "mehc"
    _survive_any_encoding()
    logging.getLogger("mehc_checks").addHandler(
        logging.NullHandler()
    )  # `run` configures more; the others report
    try:
        words = sys.argv[1:] if argv is None else argv
        if _COMPLETING in os.environ:
            completion = import_module(f"{__name__}.completion")
            completion.complete(_parser(name, completion.words()))
        options = _parser(name, words).parse_args(words)
        options.carried, options.shown_context = carried, shown_context
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
    except Exception as error:  # a fault of ours: its text could quote a secret, so only its place is shown
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        print(f"{name}: internal error, please report it: {type(error).__name__} at {where}", file=sys.stderr)
        return 2
    return status


def _survive_any_encoding() -> None:
    """A character that the terminal cannot show becomes "?", never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the whole usage before it."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(name: str, argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of ``argv``. Only the module of the command that is asked for is imported."""
    parser = _Parser(
        prog=name,
        description="Diagnose a model engine installation: what is broken, why, and how to fix it.",
        epilog=f"{_EXAMPLES.format(name=name)}\n{_EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mehc {version('mehc')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = next((word for word in argv if not word.startswith("-")), "")
    hidden = {asked: _HIDDEN[asked]} if asked in _HIDDEN else {}
    for command, summary in {**_COMMANDS, **hidden}.items():
        if command != asked:
            commands.add_parser(command, help=summary)
            continue
        module = import_module(f"{__name__}.{command}")
        sub = commands.add_parser(
            command,
            help=summary,
            description=module.__doc__,
            epilog="\n\n".join(
                filter(None, (getattr(module, "EXAMPLES", "").format(name=name), _EXIT_STATUS))
            ),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.set_defaults(execute=module.execute)
    return parser
