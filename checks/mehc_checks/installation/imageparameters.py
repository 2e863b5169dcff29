"""How images are looked for in their registries."""

from typing import Literal

from pydantic import Field

from mehc_checks.core.parameters import TripwireParameters


class ImageParameters(TripwireParameters):
    """Parameters of VllmImagePullable; EndpointsReady asks registries with the same trust."""

    tag: str | None = Field(
        None,
        description="The vLLM tag to look for; by default the one a request gets.",
        json_schema_extra={"maxLength": 128},
    )
    architectures: tuple[str, ...] = Field(
        (), description="Architectures that must be there; by default those of the GPU nodes, else amd64."
    )
    ca_bundle: str = Field(
        "",
        description="PEM certificates to trust besides the system's, as the nodes do.",
        json_schema_extra={"maxLength": 256 * 1024},
    )
    ca_config_map: str = Field(
        "", description="A ConfigMap in the installation's namespace with such certificates, key ca.crt."
    )
    insecure_registries: tuple[str, ...] = Field(
        (),
        description="host[:port] of registries that the nodes ask over plain HTTP. Of a command only: for the "
        "operator, probes.insecureRegistries of its chart.",
    )
    bandwidth_mbit: int = Field(
        1000,
        ge=1,
        description="Mbit/s at which nodes download, for the estimated time of a pull.",
        json_schema_extra={"maximum": 1_000_000},
    )
    pull_from: Literal["", "node"] = Field(
        "", description='"node" has a GPU node pull the vLLM image too, by a pod that is deleted again.'
    )
