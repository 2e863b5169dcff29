"""Print the script that makes a shell complete commands, options, namespaces, contexts, checks and reasons."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import argcomplete
from argcomplete.shell_integration import shellcode

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.engine.check import catalogue
from mehc_operator.cli.reason import names
from mehc_operator.connection import Access

EXAMPLES: Final = """\
examples:
  source <({name} completion bash)                                  this shell
  {name} completion zsh > ~/.zfunc/_mehc                             zsh, with ~/.zfunc in fpath
  {name} completion fish > ~/.config/fish/completions/mehc.fish      fish"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def execute(options: argparse.Namespace) -> int:
    print(shellcode(["mehc"], shell=options.shell))
    return 0


def words() -> list[str]:
    """The words of the line that the shell completes, without the command's own name."""
    return os.environ.get("COMP_LINE", "").split()[1:]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks for the words that ``parser`` could read next, and exit."""
    for each in _parsers(parser):
        for action in each._actions:
            if action.dest in _COMPLETERS:
                action.completer = _COMPLETERS[action.dest]  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, default_completer=argcomplete.completers.FilesCompleter())


def _parsers(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def _contexts(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    return [name for name, _ in _access(parsed_args).contexts()]


def _namespaces(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Those that the kubeconfig's contexts name: a cluster may take long to answer."""
    return sorted({namespace for _, namespace in _access(parsed_args).contexts() if namespace})


def _access(parsed: argparse.Namespace) -> Access:
    return Access(kubeconfig=getattr(parsed, "kubeconfig", "") or "")


def _checks(**_: object) -> list[str]:
    return list(catalogue())


def _reasons(**_: object) -> list[str]:
    return sorted({*names(), *all_rules()})


_COMPLETERS: Final[Mapping[str, Callable[..., list[str]]]] = {
    "context": _contexts,
    "namespace": _namespaces,
    "only": _checks,
    "skip": _checks,
    "reason": _reasons,
}
"""By the name of the argument, in every command."""
