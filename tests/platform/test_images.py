"""What we derive of images, held against what model engine itself does: ``vectors/images.json``."""

import json
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.registries import Answer, Api, Registries, Search, SearchFails
from mehc_checks.modelengine.values import Layer, Values

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "images.json").read_text())
DELIBERATE: dict[str, str] = {}
"""Id of a vector → why we differ."""


def registries(given: dict[str, Any]) -> Registries:
    infra = {
        "cloud_provider": given["cloud_provider"],
        "docker_repo_prefix": given["docker_repo_prefix"],
        "docker_registry_type": given["docker_registry_type"],
        "ml_account_id": given.get("ml_account_id", "111122223333"),
        "default_region": "us-east-1",
    }
    values = Values.merged([Layer(source="vector", values={"config": {"values": {"infra": infra}}})])
    return Registries.of(Configuration(values))


def answer(given: dict[str, Any]) -> Answer:
    """What the registry of a vector has to say of the image; of a token that it asks for and gives, nothing else."""
    said = given.get("registry_answers", "")
    return Answer(said) if said in set(Answer) else Answer.FOUND


def asked(search: Search | None, tag: str) -> list[dict[str, Any]]:
    """``search`` as the vectors write the gateway's first question."""
    if search is None:
        return []
    match search.api:
        case Api.ECR:
            words = {"registry_id": search.registry, "repository": search.repository}
            return [{"api": search.api, **words, "tag": [tag], "region": search.region}]
        case Api.ACR:
            words = {"endpoint": search.registry, "repository": search.repository}
            return [{"api": search.api, **words, "tag": tag}]
        case Api.GAR:
            location, project, repository = search.registry.split("/")
            name = f"projects/{project}/locations/{location}/repositories/{repository}"
            return [{"api": search.api, "name": f"{name}/packages/{search.repository}/tags/{tag}"}]
        case Api.HTTP:
            url = f"https://{search.registry}/v2/{search.repository}/manifests/{tag}"
            return [{"api": search.api, "url": url, "signed_in": False}]


def derived(given: dict[str, Any]) -> dict[str, Any]:
    """What the vectors have in ``out``, of our derivation."""
    ours, repository, tag = registries(given), given["repository"], given["tag"]
    error, cacher = ours.creation_error(answer(given)), ours.cacher_error(answer(given))
    pulled, of_gateway = ours.pulled(repository, tag), ours.named_by_gateway(repository, tag)
    try:
        asks = asked(ours.search(repository), tag)
    except SearchFails:
        asks = []
    return {
        "gateway_class": ours.gateway,
        "builder_class": ours.builder,
        "pods_pull": pulled,
        "gateway_reference": None if of_gateway == pulled else of_gateway,
        "creation": {"passes": not error, "error": error},
        "asks": asks,
        "cacher": {"goes_on": not cacher, "error": cacher},
        "prefetches": set() if cacher else set(ours.prefetched(vllm=repository, tgi="tgi")),
    }


def observed(given: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
    """The same of the platform: errors by their class, without images whose tag is not fixed."""
    moving = (f"{given['docker_repo_prefix']}/batch:", f"{given['docker_repo_prefix']}/model-engine:")
    return {
        "gateway_class": out["gateway_class"],
        "builder_class": out["builder_class"],
        "pods_pull": out["pods_pull"],
        "gateway_reference": out.get("gateway_reference"),
        "creation": {
            "passes": out["creation"]["passes"],
            "error": out["creation"].get("error", "").partition(":")[0],
        },
        "asks": out["asks"][:1],
        "cacher": {
            "goes_on": out["cacher"]["goes_on"],
            "error": out["cacher"].get("error", "").partition(":")[0],
        },
        "prefetches": {each for each in out["cacher"].get("prefetches", []) if not each.startswith(moving)},
    }


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['kind']}-{vector['id']}")
def test_we_derive_what_the_platform_does(vector: dict[str, Any]) -> None:
    ours, theirs = derived(vector["in"]), observed(vector["in"], vector["out"])
    if vector["id"] in DELIBERATE:
        assert ours != theirs, "we agree: take it off the list"
    else:
        assert ours == theirs


def test_deliberate_differences_are_of_vectors() -> None:
    assert DELIBERATE.keys() <= {vector["id"] for vector in VECTORS}
