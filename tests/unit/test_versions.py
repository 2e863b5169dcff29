"""Which version of the platform an installation's objects show, and what is known of it."""

from typing import Any

import pytest

from mehc_checks.modelengine import schema
from mehc_checks.modelengine.versions import NEWEST_CHART, UNDETECTED, Platform, chart_version, detect

COMMIT = "a8236961" + "0" * 32


def gateway(label: str = "", image: str = "gateway", *env: dict[str, Any]) -> dict[str, Any]:
    labels = {"helm.sh/chart": label} if label else {}
    pod = {"containers": [{"name": "model-engine", "image": image, "env": list(env)}]}
    return {
        "metadata": {"name": "model-engine", "labels": labels},
        "spec": {"template": {"spec": pod}},
    }


@pytest.mark.parametrize(
    ("chart", "version"),
    [
        ("model-engine-0.2.7", "0.2.7"),
        ("model-engine-0.2.7-fork.3", "0.2.7"),
        ("model-engine-v0.3", "0.3"),
        ("model-engine-1.0.0+build", "1.0.0"),
        ("model-engine-1.0.0_build", "1.0.0"),
        ("model-engine", ""),
        ("model-engine-next", ""),
        ("model-engine-health-check-1.0.0", ""),
        ("acme-platform-9.1.0", ""),
        ("", ""),
    ],
)
def test_the_version_of_a_chart(chart: str, version: str) -> None:
    assert chart_version(chart) == version


@pytest.mark.parametrize(
    ("chart", "newer", "older"),
    [
        ("0.2.7", False, False),
        ("", False, False),
        ("0.2.6", False, True),
        ("0.1.99", False, True),
        ("0.2.8", True, False),
        ("0.2.10", True, False),
        ("1.0.0", True, False),
    ],
)
def test_newer_and_older(chart: str, newer: bool, older: bool) -> None:
    platform = Platform(chart=chart)
    assert (platform.is_newer, platform.is_older) == (newer, older)


@pytest.mark.parametrize(
    ("live", "release", "alias", "chart"),
    [
        (None, "model-engine-0.2.6", "", "0.2.6"),
        (None, "acme-platform-9.1.0", "", ""),
        (None, "acme-platform-9.1.0", "model-engine", ""),
        (gateway("model-engine-0.2.7"), "model-engine-0.2.8", "", "0.2.7"),
        (gateway("model-engine-0.2.7"), "acme-platform-9.1.0", "model-engine", "0.2.7"),
        (gateway("inference-0.2.7"), "acme-platform-9.1.0", "inference", "0.2.7"),
        (gateway("acme-platform-9.1.0"), "acme-platform-9.1.0", "", ""),
        (gateway("acme-platform-9.1.0"), "", "", ""),
        (gateway("inference-0.2.8"), "", "", ""),
        (gateway("model-engine-0.2.8"), "", "", "0.2.8"),
        (gateway(), "model-engine-0.2.8", "", "0.2.8"),
        (gateway(), "", "", ""),
    ],
)
def test_the_chart_is_model_engines_own(
    live: dict[str, Any] | None, release: str, alias: str, chart: str
) -> None:
    """What runs goes before the release, and the version of a chart around it is never taken."""
    assert detect(live, release, alias=alias).chart == chart


@pytest.mark.parametrize(
    ("image", "tag", "known"),
    [
        (f"reg:5000/gateway:{COMMIT}", COMMIT, True),
        (f"gateway:{COMMIT}@sha256:{'1' * 64}", COMMIT, True),
        ("gateway:a823696", "a823696", True),
        ("gateway:a823697", "a823697", False),
        ("gateway:a", "a", False),
        ("gateway:0.2.7", "0.2.7", False),
        ("reg:5000/gateway", "", False),
        (f"gateway@sha256:{'1' * 64}", "", False),
    ],
)
def test_images_of_the_known_commit(image: str, tag: str, known: bool) -> None:
    platform = detect(gateway("model-engine-0.2.8", image))
    assert (platform.tag, platform.has_known_images) == (tag, known)


@pytest.mark.parametrize(
    ("platform", "revision"),
    [
        (UNDETECTED, schema.HEAD),
        (Platform(chart="0.2.7"), schema.HEAD),
        (Platform(chart="0.2.8"), schema.HEAD),
        (Platform(chart="0.2.6"), "a1b2c3d4e5f6"),
        (Platform(chart="0.2.5"), "a1b2c3d4e5f6"),
        (Platform(chart="0.2.6", tag=COMMIT), schema.HEAD),
        (Platform(chart="0.2.4"), ""),
    ],
)
def test_the_revision_that_migrations_reach_at_least(platform: Platform, revision: str) -> None:
    assert platform.least_revision == revision


def test_what_was_found_is_told() -> None:
    apart = detect(gateway("model-engine-0.2.7", "gateway:1", {"name": "REDIS_ENABLE_TLS", "value": "false"}))
    assert apart.is_newer
    assert str(apart) == "a chart that sets REDIS_ENABLE_TLS"
    assert apart.detected == (
        "chart 0.2.7 (label helm.sh/chart of Deployment model-engine), image tag 1, REDIS_ENABLE_TLS"
    )
    assert str(Platform(chart="0.3.0", tls_apart=True)) == "chart 0.3.0"
    assert UNDETECTED.detected == f"not detected; judged as chart {NEWEST_CHART}"
