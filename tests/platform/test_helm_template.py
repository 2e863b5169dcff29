"""What Helm makes of values, and what the API server takes of that, held against our rules."""

from collections.abc import Iterator
from typing import Any

import pytest

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.fault import NO_INSTALL
from mehc_checks.checks.config.rules.rule import View
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine import structure
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.structure import Problem
from mehc_checks.modelengine.values import Layer
from mehc_checks.modelengine.valuesfile import read
from testbed.vectors import VECTORS, Vector, tree, values, vectors

HELM = [vector for vector in vectors("helm_template") if "text_edit" not in vector["in"]]
TEXTS = [vector for vector in vectors("helm_template") if "text_edit" in vector["in"]]
WORDS = {
    "delete": ("delete", None),
    "null": ("set", None),
    "empty-text": ("set", ""),
    "map": ("set", {}),
    "list": ("set", []),
    "text": ("set", "zz"),
    "zero": ("set", 0),
    "true": ("set", True),
}
NAMESPACE_MISSING = 'namespaces "zz" not found'
"""Values alone do not show which namespaces there are."""


def blamed(problems: list[str], cause: str) -> bool:
    """Whether one of the paths is the cause, or above or below it."""
    plain = cause.replace('"', "")
    return any(path.startswith(plain) or plain.startswith(path) for path in problems)


def helms(given: Vector) -> list[Problem]:
    return [problem for problem in structure.problems(Configuration(values(given))) if problem.helm]


def refusals(given: Vector) -> list[str]:
    """The paths at which our rules say that the values do not install."""
    view = View(values(given))
    rules = [
        rule
        for rule in all_rules().values()
        if set(NO_INSTALL) & set(rule.explains) and not rule.needs_cluster
    ]
    return [
        found.subject for rule in rules for found in rule.judge(view) if set(NO_INSTALL) & set(found.explains)
    ]


@pytest.mark.parametrize("vector", HELM, ids=lambda vector: vector["id"])
def test_helm_template(vector: Vector) -> None:
    if vector["out"]["ok"]:
        assert helms(vector["in"]) == []
        return
    found = refusals(vector["in"])
    assert found
    if cause := vector["out"].get("cause", ""):
        # what is switched on is blamed by Helm, what it then lacks by us
        switched = cause == "autoscaling.vertical.enabled" and "autoscaling.vertical.minAllowed" in found
        assert switched or blamed(found, cause)


@pytest.mark.parametrize("vector", TEXTS, ids=lambda vector: vector["about"])
def test_values_files_are_read_as_helm_reads_them(vector: Vector) -> None:
    edit = vector["in"]["text_edit"]
    text = (VECTORS / f"base_{vector['in']['base']}.yaml").read_text()
    if "find" in edit:
        assert edit["find"] in text
        text = text.replace(edit["find"], edit["replace"])
    content = read(text + edit.get("append", ""), where="values.yaml")
    configuration = Configuration(WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=content.values)]))
    assert [problem for problem in structure.problems(configuration) if problem.helm] == []
    for name, seen in vector["out"]["seen"].items():
        if name.startswith("launch."):
            assert configuration.read(f"config.values.{name}") == seen
        elif name == "migration":
            assert configuration.flag("db.runDbMigrationScript") is seen
        elif name == "mount":
            assert configuration.raw("aws.configMap.mountPath") is None
    if "twice" in vector["about"]:
        (twice,) = content.twice
        assert twice.first < twice.last


@pytest.mark.parametrize("vector", vectors("api_server"), ids=lambda vector: vector["id"])
def test_api_server(vector: Vector) -> None:
    found = refusals(vector["in"])
    if any(each["says"] == NAMESPACE_MISSING for each in vector["out"].get("rejected", ())):
        pytest.skip("whether a namespace exists is not in the values")
    assert bool(found) != vector["out"]["accepted"]
    if cause := vector["out"].get("cause", ""):
        related = {"autoscaling.horizontal.minReplicas": "autoscaling.horizontal.maxReplicas"}
        assert blamed(found, cause) or blamed(found, related.get(cause, cause)) or "extraVolume" in cause


def changes() -> Iterator[Any]:
    for vector in vectors("values_paths"):
        path, out = vector["in"]["path"], vector["out"]
        for name, (what, value) in WORDS.items():
            told = {
                out.get("base"): out.get(name),
                **{other: each.get(name) for other, each in out.get("elsewhere", {}).items()},
            }
            for base, verdict in told.items():
                if base and verdict and NAMESPACE_MISSING not in verdict:
                    given = {"base": base, "path": path, "change": what, "value": value}
                    yield pytest.param(given, verdict, id=f"{vector['in']['at']}-{name}-{base}")


@pytest.mark.parametrize(("given", "verdict"), list(changes()))
def test_values_paths(given: Vector, verdict: str) -> None:
    assert bool(refusals(given)) == verdict.startswith(("helm", "API server"))


@pytest.mark.parametrize("vector", vectors("values_paths"), ids=lambda vector: vector["in"]["at"])
def test_what_templates_read_is_known_and_what_bases_have_is_no_typo(vector: Vector) -> None:
    base = vector["out"].get("base")
    if base:
        assert list(structure.unknown(tree({"base": base}))) == []


@pytest.mark.parametrize(
    "vector", [each for each in HELM if each["kind"] == "key the base lacks"], ids=lambda vector: vector["id"]
)
def test_keys_that_nothing_reads_are_told(vector: Vector) -> None:
    unread = {"unknownKey", "image.builder", "autoscaling.horizontal.maxReplica"}
    told = [path for path, _ in structure.unknown(tree(vector["in"]))]
    at = vector["in"]["at"]
    assert told == ([at] if at in unread else []) or (at == "config.file" and told == [])
