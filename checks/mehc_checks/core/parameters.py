"""The parameters that a check takes."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Base of a check's parameters: strict about names, written in camelCase in the resource."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda name: _camel(name), populate_by_name=True
    )


class NoParameters(Parameters):
    """This check takes none."""


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
