"""What was read is watched, however many namespaces there are, and however few are left."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.installation.following import MOST_NAMESPACES, Following, Read
from testbed.controlplane import ControlPlane

PATIENCE = 60.0
KIND = "serviceaccounts"


@pytest.fixture
def namespaces(control_plane: ControlPlane) -> Iterator[list[str]]:
    made = [control_plane.create_namespace() for _ in range(MOST_NAMESPACES + 1)]
    yield made
    for name in made:
        control_plane.delete_namespace(name)


@pytest.fixture
async def told(cluster: KubernetesCluster) -> AsyncIterator[tuple[Following, list[Read]]]:
    changed: list[Read] = []
    following = Following(cluster, {("", KIND)}, changed.append)
    yield following, changed
    await following.stop()


def read(namespace: str) -> Read:
    return Read(object_path(KIND, namespace))


@pytest.mark.parametrize("left", [MOST_NAMESPACES + 1, 1], ids=["many", "few again"])
async def test_a_change_in_one_of_many_namespaces_is_told(
    control_plane: ControlPlane, namespaces: list[str], told: tuple[Following, list[Read]], left: int
) -> None:
    following, changed = told
    for namespace in namespaces:
        await following.follow(read(namespace), PATIENCE)
    last = namespaces[-1]
    await following.retain([read(namespace) for namespace in namespaces[-left:]])
    path = object_path(KIND, last)
    await asyncio.to_thread(control_plane.api, "POST", path, {"metadata": {"name": "new"}})
    async with asyncio.timeout(PATIENCE):
        while read(last) not in changed:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)
