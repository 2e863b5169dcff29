"""The CustomResourceDefinition, generated from the models and the catalogue of checks.

``python -m mehc_operator.crd`` prints it as YAML.
"""

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel

from mehc_checks.engine.check import Check, catalogue
from mehc_operator.models import (
    DURATION,
    GROUP,
    KIND,
    LONGEST_TIMEOUT,
    PLURAL,
    SHORTEST_INTERVAL,
    SHORTEST_TIMEOUT,
    VERSION,
    Spec,
)
from mehc_operator.status import StatusReport

Schema = dict[str, Any]

_KEPT = {
    "type", "description", "properties", "additionalProperties", "items", "required", "enum", "default",
    "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "format",
}  # fmt: skip
"""What Kubernetes takes over from JSON Schema; ``x-kubernetes-*`` passes too."""

_BOUNDS = {"string": ("maxLength", 1024), "array": ("maxItems", 64), "object": ("maxProperties", 64)}
"""By type: how much a field takes that declares no bound of its own. One tenant's object costs all others memory."""

_COLUMNS = (
    ("Health", "string", ".status.health", 0),
    ("Passing", "string", ".status.passing", 0),
    ("Cause", "string", ".status.cause", 0),
    ("Last Probe", "date", ".status.lastProbeTime", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Release", "string", ".status.release.name", 1),
    ("Stuck", "integer", ".status.stuckEndpoints", 1),
    ("Message", "string", ".status.summary", 1),
)
"""Name, type, path, priority (1: only with -o wide)."""


def custom_resource_definition() -> dict[str, Any]:
    """The manifest. Raises ValueError when two checks give one parameter name different types."""
    schema: Schema = {
        "description": "Diagnoses a model engine installation: what is broken, why, and how to fix it.",
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this schema."},
            "kind": {"type": "string", "description": f"{KIND}."},
            "metadata": {"type": "object"},
            "spec": spec_schema(catalogue()),
            "status": status_schema(),
        },
    }
    manifest: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mehc"],
                "categories": ["modelengine"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
                        for name, kind, path, priority in _COLUMNS
                    ],
                }
            ],
        },
    }
    unshared: dict[str, Any] = _unshared(manifest)
    return unshared


@cache
def status_schema() -> Schema:
    """The schema of ``status``."""
    return bounded(structural(StatusReport))


def spec_schema(checks: Mapping[str, Check]) -> Schema:
    """The schema of ``spec``, with the rules that a schema alone cannot say."""
    schema = structural(Spec)
    fields = schema["properties"]
    # The rules below are applied to a default before the defaults within it are.
    schema["default"] = {name: fields[name]["default"] for name in ("interval", "timeout")}
    _bound(fields["interval"], SHORTEST_INTERVAL)
    _bound(fields["timeout"], SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    fields["valuesFrom"]["items"]["x-kubernetes-validations"] = [
        _rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "must name exactly one of secretKeyRef and configMapKeyRef",
        )
    ]
    options = fields["checks"]
    options["x-kubernetes-validations"] = list(_check_rules(checks))
    of_check = options["additionalProperties"]
    _bound(of_check["properties"]["interval"], SHORTEST_INTERVAL)
    _bound(of_check["properties"]["timeout"], SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    of_check["properties"]["parameters"] = parameters_schema(checks)
    schema["x-kubernetes-validations"] = [
        {
            "rule": f"{_unreadable('self.timeout', 'self.interval')} || "
            "duration(self.timeout) < duration(self.interval)",
            "messageExpression": "'spec.timeout (' + self.timeout + ') must be shorter than spec.interval (' + "
            "self.interval + ')'",
            "fieldPath": ".timeout",
        },
        *(_fits(name) for name in checks),
    ]
    return bounded(schema)


def parameters_schema(checks: Mapping[str, Check]) -> Schema:
    """One schema for the parameters of all checks; which check takes which is a rule of ``spec.checks``.

    A schema per check would need a property per check, and then an unknown name would be dropped in
    silence where a map of checks can refuse it.
    """
    properties: dict[str, Schema] = {}
    takers: dict[str, list[str]] = {}
    for check in checks.values():
        for name, schema in structural(check.parameters).get("properties", {}).items():
            known = properties.setdefault(name, schema)
            if {**known, "description": ""} != {**schema, "description": ""}:
                raise ValueError(f"parameter {name} of check {check.name} has another type in another check")
            takers.setdefault(name, []).append(check.name)
    for name, schema in properties.items():
        # A default would be written into the resource of every check, also of those without the parameter.
        default = schema.pop("default", None)
        text = f"{', '.join(takers[name])}: {schema.get('description', '')}".rstrip(": ")
        if default not in (None, "", [], {}):
            text = f"{text} Default: {default}."
        properties[name] = {**schema, "description": text}
    return {
        "type": "object",
        "description": "Parameters of the check. Each description begins with the checks that accept it.",
        **({"properties": properties} if properties else {}),
    }


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of ``model``: references inlined, optional fields plainly optional.

    ``null`` is accepted nowhere: Kubernetes takes an absent field for that, and a rule that asks
    ``has(self.field)`` would be fooled by a null.
    """
    document = model.model_json_schema(by_alias=True)
    definitions = document.pop("$defs", {})
    return _structural(document, definitions)


def bounded(schema: Schema) -> Schema:
    """``schema`` with a bound on every text, list and map that has none.

    Not on maps of unknown fields, ``spec.values``: the API server does not see that such a map is as it was before, so
    a resource older than the bound could not even have its status written. The operator refuses them when it reads
    them (``core.bounds``).
    """
    kind = schema.get("type", "")
    date = schema.get("format") == "date-time"
    closed = {"enum", "properties", "x-kubernetes-preserve-unknown-fields"} & {*schema} or date
    if kind in _BOUNDS and not closed:
        keyword, limit = _BOUNDS[kind]
        schema = {keyword: limit, **schema}
    if "properties" in schema:
        schema |= {"properties": {name: bounded(field) for name, field in schema["properties"].items()}}
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            schema |= {inner: bounded(schema[inner])}
    return schema


def _structural(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        (kind,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        return _structural({**kind, **outer}, definitions)
    if "allOf" in schema:
        (kind,) = schema["allOf"]
        return _structural(
            {**kind, **{key: value for key, value in schema.items() if key != "allOf"}}, definitions
        )
    kept = {key: value for key, value in schema.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if kept.get("default", "") is None:
        del kept["default"]
    if "properties" in kept:
        kept["properties"] = {
            name: _structural(field, definitions) for name, field in kept["properties"].items()
        }
    if "items" in kept:
        kept["items"] = _structural(kept["items"], definitions)
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _structural(kept["additionalProperties"], definitions)
    else:
        kept.pop("additionalProperties", None)
    if kept.get("type") == "integer":
        kept["format"] = "int64"
    return kept


def _check_rules(checks: Mapping[str, Check]) -> list[dict[str, Any]]:
    """Only checks that exist, and each only with its own parameters."""
    names = "[" + ", ".join(f"'{name}'" for name in checks) + "]"
    # The message cannot quote the unknown name: the API server reckons with names of any length.
    known = _rule(f"self.all(name, name in {names})", f"unknown check; there are: {', '.join(checks)}")
    rules = [known]
    by_check = {
        name: set(structural(check.parameters).get("properties", {})) for name, check in checks.items()
    }
    everything = set().union(*by_check.values()) if by_check else set()
    for name, own in by_check.items():
        if foreign := sorted(everything - own):
            given = " || ".join(f"has(self['{name}'].parameters.{field})" for field in foreign)
            allowed = f"takes only {', '.join(sorted(own))}" if own else "takes no parameters"
            rules.append(
                _rule(
                    f"!('{name}' in self) || !has(self['{name}'].parameters) || !({given})",
                    f"spec.checks.{name}.parameters: {name} {allowed}",
                )
            )
    return rules


def _unshared(value: Any) -> Any:
    """A copy in which nothing occurs twice, so that YAML has no anchors."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _bound(field: Schema, least: str, most: str = "") -> None:
    """Make ``field`` a duration of at least ``least``; a rule instead of a pattern, for the sake of its message."""
    del field["pattern"]
    rule = f"self.matches('{DURATION}') && duration(self) >= duration('{least}')"
    message = f"must be a duration such as 30s, 5m or 1h30m, and at least {least}"
    if most:
        rule += f" && duration(self) <= duration('{most}')"
        message += f" and at most {most}"
    field["x-kubernetes-validations"] = [_rule(rule, message)]


def _unreadable(*fields: str) -> str:
    """A CEL expression: one of ``fields`` is no duration, which is for the field's own rule to say."""
    return " || ".join(f"!{field}.matches('{DURATION}')" for field in fields)


def _fits(name: str) -> dict[str, str]:
    """The timeout that check ``name`` will have is shorter than the interval that it will have."""
    options = f"self.checks['{name}']"
    timeout = f"(has({options}.timeout) ? {options}.timeout : self.timeout)"
    interval = f"(has({options}.interval) ? {options}.interval : self.interval)"
    absent = f"!has(self.checks) || !('{name}' in self.checks)"
    plain = f"(!has({options}.timeout) && !has({options}.interval))"
    rule = _rule(
        f"{absent} || {plain} || {_unreadable(timeout, interval)} || duration({timeout}) < duration({interval})",
        f"spec.checks.{name}: its timeout must be shorter than its interval",
    )
    return rule | {"fieldPath": ".checks"}


if __name__ == "__main__":
    yaml.safe_dump(custom_resource_definition(), sys.stdout, sort_keys=False, width=110)
