"""The parameters that a check takes."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Parameters(BaseModel):
    """Base of a check's parameters: strict about names, written in camelCase in the resource."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class NoParameters(Parameters):
    """This check takes none."""


class TripwireParameters(Parameters):
    """Of a check whose server an idle connection can be held to."""

    tripwire: bool = Field(
        default=True,
        description="Hold an idle connection to each server that the check asks, and run the check when it ends.",
    )
