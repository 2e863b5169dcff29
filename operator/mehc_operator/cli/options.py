"""Arguments that several commands take."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from mehc_checks.core import duration
from mehc_checks.core.errors import UsageError
from mehc_checks.core.text import nearest
from mehc_checks.modelengine.valuesfile import LARGEST, ValuesFile, read

RULE: Final = "RULE=REASON"
"""How an ignored rule is given."""


def cluster_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="the kubeconfig to use")
    parser.add_argument("--context", default="", metavar="NAME", help="the context of the kubeconfig to use")


def namespace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        "--namespace",
        default="",
        metavar="NAME",
        help="the namespace model engine is installed in (default: that of the context)",
    )
    parser.add_argument(
        "--release", default="", metavar="NAME", help="the Helm release, where the namespace has several"
    )


def in_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--in-cluster",
        action="store_true",
        help="run the check inside the cluster and print its report here: in the operator's pod, or in a Job that is "
        "deleted afterwards where no operator is ready",
    )
    job = parser.add_argument_group("the Job of --in-cluster")
    job.add_argument("--image", default="", help="use a Job, with this image (default: the operator's)")
    job.add_argument(
        "--image-pull-secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a Secret of the Job's namespace that pulls the image; repeatable",
    )
    job.add_argument(
        "--service-account",
        default="",
        metavar="NAME",
        help="use a Job, with this ServiceAccount of the namespace (default: the operator's, or a temporary one)",
    )
    job.add_argument(
        "--start-timeout",
        type=length,
        default=length("2m"),
        help="the time that its pod may take to start (default: 2m)",
    )


def values_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f",
        "--values",
        action="append",
        default=[],
        metavar="FILE",
        help="values of the model engine chart, over what the cluster has; repeatable, later ones win; "
        "- reads standard input. Without -n, --context or --kubeconfig, no cluster is asked",
    )


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


def network(text: str) -> IPv4Network | IPv6Network:
    """An argument's type: a network in CIDR form, or an address."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def length(text: str) -> timedelta:
    """An argument's type: a duration longer than zero."""
    try:
        time = duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not time:
        raise argparse.ArgumentTypeError("must be longer than 0s")
    return time


def pair(form: str) -> Callable[[str], tuple[str, str]]:
    """An argument's type: two texts around an equals sign, neither empty. ``form`` is shown in the error."""

    def split(text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}")
        return name.strip(), value.strip()

    return split


def parameter(text: str) -> tuple[str, str, Any]:
    """An argument's type: check, name and value of a parameter; the value is read as YAML, as in the resource."""
    place, value = pair("CHECK.NAME=VALUE")(text)
    check, dot, name = place.partition(".")
    if not (dot and check and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form CHECK.NAME=VALUE")
    try:
        return check, name, yaml.safe_load(value)
    except yaml.YAMLError:
        return check, name, value


def named(given: Iterable[str]) -> list[str]:
    """The names in arguments that may each hold several, separated by commas."""
    return [name for text in given for name in text.split(",") if name]


def known(name: str, checks: Iterable[str]) -> None:
    """Raises UsageError where there is no check ``name``, with the nearest that there is."""
    names = list(checks)
    if name in names:
        return
    by_lower = {each.lower(): each for each in names}
    near = nearest(name.lower(), by_lower)
    hint = f"did you mean {by_lower[near[0]]}?" if near else f"the checks are {', '.join(names)}"
    raise UsageError(f"there is no check {name}; {hint}")


def values_files(
    files: Iterable[str], carried: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, ValuesFile]]:
    """The values files, read; of those in ``carried`` the text is there. Raises UsageError that names the file."""
    for file in files:
        yield file, read(carried[file], where=file) if file in carried else values_file(file)


def carried_files(files: Iterable[str]) -> dict[str, str]:
    """The text of each values file by its name. Raises UsageError where one is none."""
    carried: dict[str, str] = {}
    for file in files:
        content = content_of(file)
        read(content, where=file)
        carried[file] = content.decode("utf-8-sig")
    return carried


def values_file(file: str) -> ValuesFile:
    """The values file ``file``, "-" for standard input. Raises UsageError that names it."""
    return read(content_of(file), where=file)


def content_of(file: str) -> bytes:
    """What is in the file, up to what a values file may have. Raises UsageError that names it."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file or '--values'}: {error.strerror}") from None
