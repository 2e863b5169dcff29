"""What every document is made of, and how it is written."""

import json
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

API_VERSION: Final = "report.health.modelengine.io/v1"

Time = Annotated[
    datetime, PlainSerializer(lambda value: value.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str)
]


class Part(BaseModel):
    """Base of what documents are made of."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Document(Part):
    """What every document begins with."""

    api_version: Literal["report.health.modelengine.io/v1"] = API_VERSION
    kind: str
    version: str = Field(
        default_factory=lambda: version("mehc"), description="The version of mehc that wrote it."
    )


def as_json(document: Part) -> str:
    """One JSON document, indented."""
    return json.dumps(plain(document), indent=2, ensure_ascii=False)


def as_yaml(document: Part) -> str:
    """The same as YAML, without a final newline."""
    text: str = yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def plain(document: Part) -> dict[str, Any]:
    """The document as dicts, lists, texts and numbers."""
    return document.model_dump(mode="json", by_alias=True)


WRITERS: Final = {"json": as_json, "yaml": as_yaml}
"""By the word of ``-o``."""


def schema(document: type[Part]) -> dict[str, Any]:
    """The JSON Schema of what ``as_json`` writes of it."""
    described = document.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}
