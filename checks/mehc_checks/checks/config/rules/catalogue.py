"""All rules: adding one is adding a function to the file of its section."""

import importlib

from mehc_checks.checks.config.rules.rule import REGISTRY, Rule

SECTIONS = {
    1: "Minimum viable configuration",
    2: "Cloud-specific configuration",
    3: "GPU and hardware",
    4: "Autoscaling",
    5: "Networking",
    6: "Observability",
    7: "Security and compliance",
    8: "Replicas, resources and the rest",
}


def all_rules() -> dict[str, Rule]:
    """The rules by id, in the order of sections, then as their files declare them."""
    for section in SECTIONS:
        importlib.import_module(f"{__package__}.section{section}")
    return dict(sorted(REGISTRY.items(), key=lambda item: item[1].section))
