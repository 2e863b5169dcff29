"""Parameters of EndpointsReady."""

from typing import Final

from pydantic import Field, field_validator

from mehc_checks.core import duration
from mehc_checks.core.parameters import Parameters

FEWEST_TO_FAIL: Final = 2
"""One endpoint alone never makes the platform fail for a cause of its owner."""


class EndpointParameters(Parameters):
    """Parameters of EndpointsReady."""

    grace_period: str = Field(
        "15m", description="How long an endpoint may lack ready pods before it counts as stuck."
    )
    loading_grace_period: str = Field(
        "45m",
        description="The same while its image is being pulled, or while its main container runs and is not ready yet.",
    )
    fail_above: str = Field(
        "20%",
        description="Part of the endpoints from which on, and at least 2, stuck endpoints fail the check whatever "
        "their causes are. Below, causes that lie with an endpoint's owner (a crash, too little memory) only warn.",
    )
    read_record: bool = Field(True, description="Read the platform's own record from the database.")

    @field_validator("grace_period", "loading_grace_period")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        duration.parse(value)
        return value

    @field_validator("fail_above")
    @classmethod
    def _is_percentage(cls, value: str) -> str:
        percentage(value)
        return value


def percentage(text: str) -> float:
    """A part from "0%" to "100%", as a number from 0 to 1. Raises ValueError."""
    number = text.removesuffix("%")
    if number == text or not number.isdecimal() or not 0 <= int(number) <= 100:
        raise ValueError("must be a percentage from 0% to 100%, such as 20%")
    return int(number) / 100
