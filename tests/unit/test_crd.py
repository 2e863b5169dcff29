"""The CustomResourceDefinition as a document; what the API server makes of it is tested end to end."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import Field

from mehc_checks.core.outcome import Outcome, ReasonSet, Severity
from mehc_checks.core.parameters import Parameters
from mehc_checks.engine.check import Check
from mehc_checks.installation.context import Context
from mehc_operator.crd import custom_resource_definition, parameters_schema, spec_schema


class Revision(Parameters):
    expected_revision: str = Field(default="", description="The revision to expect.")
    margin: int = Field(default=3, ge=1, description="How far.")


class Clashing(Parameters):
    margin: str = "3"


async def nothing(_: Context) -> None:
    return None


def declared(name: str, parameters: type[Parameters] | None = None) -> Check:
    def never(_: object) -> Outcome:
        raise NotImplementedError

    return Check(
        name=name,
        title="holds",
        severity=Severity.HIGH,
        gather=nothing,
        judge=never,
        reasons=ReasonSet,
        **({"parameters": parameters} if parameters else {}),
    )


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{path}[]")


@pytest.fixture(scope="module")
def version() -> dict[str, Any]:
    found: dict[str, Any] = custom_resource_definition()["spec"]["versions"][0]
    return found


def test_the_schema_is_structural(version: dict[str, Any]) -> None:
    for path, field in walk(version["schema"]["openAPIV3Schema"]):
        assert "type" in field, path
        assert not {"$ref", "$defs", "anyOf", "allOf", "title", "examples"} & set(field), path


def test_every_field_of_spec_and_status_is_described(version: dict[str, Any]) -> None:
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        for path, field in walk(properties[part], part):
            if not path.endswith("]"):
                assert field.get("description"), path


def test_names_and_columns(version: dict[str, Any]) -> None:
    names = custom_resource_definition()["spec"]["names"]
    assert names["shortNames"] == ["mehc"]
    assert names["categories"] == ["modelengine"]
    assert version["subresources"] == {"status": {}}
    columns = version["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c["priority"]] == [
        "Health", "Passing", "Cause", "Last Probe", "Age",
    ]  # fmt: skip
    assert [c["name"] for c in columns if c["priority"]] == ["Release", "Stuck", "Message"]


def test_lists_of_the_status_have_keys(version: dict[str, Any]) -> None:
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["conditions"]["items"]["required"] == [
        "type", "status", "reason", "message", "lastTransitionTime", "observedGeneration",
    ]  # fmt: skip


def test_the_yaml_has_no_anchors() -> None:
    assert "&id" not in yaml.safe_dump(custom_resource_definition())


def test_parameters_of_all_checks_share_one_schema() -> None:
    schema = parameters_schema({"A": declared("A", Revision), "B": declared("B")})
    assert schema["properties"]["expectedRevision"]["description"] == "A: The revision to expect."
    assert schema["properties"]["margin"]["description"] == "A: How far. Default: 3."
    assert "default" not in schema["properties"]["margin"]


def test_one_parameter_name_has_one_type() -> None:
    with pytest.raises(ValueError, match="parameter margin of check B"):
        parameters_schema({"A": declared("A", Revision), "B": declared("B", Clashing)})


def test_a_check_takes_only_its_own_parameters() -> None:
    schema = spec_schema({"A": declared("A", Revision), "B": declared("B")})
    messages = [rule["message"] for rule in schema["properties"]["checks"]["x-kubernetes-validations"]]
    assert messages == ["unknown check; there are: A, B", "spec.checks.B.parameters: B takes no parameters"]
