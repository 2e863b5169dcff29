"""The operator's own chart, as Helm renders and installs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.helm import Helm
from testbed.tools import ROOT

CHART = ROOT / "charts" / "model-engine-health-check"
CRD = "modelenginehealthchecks.health.modelengine.io"

Manifest = dict[str, Any]


def rendered(
    helm: Helm,
    values: Mapping[str, Any],
    *words: str,
    release: str = "mehc",
    namespace: str = "mehc",
    chart: Path = CHART,
) -> list[Manifest]:
    """The objects that `helm template` makes of ``values``. Raises HelmError."""
    text = helm.run(
        "template",
        release,
        str(chart),
        "-n",
        namespace,
        "-f",
        "-",
        *words,
        stdin=yaml.safe_dump(dict(values)),
    )
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    """Those of ``objects`` that are of one of ``kinds``."""
    return [each for each in objects if each["kind"] in kinds]


def rules_of(objects: list[Manifest]) -> list[Manifest]:
    """The RBAC rules of all Roles and ClusterRoles among ``objects``."""
    return [rule for each in of_kind(objects, "Role", "ClusterRole") for rule in each["rules"]]
