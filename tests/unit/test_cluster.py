"""How requests to the Kubernetes API are named: as RBAC names them."""

import pytest

from mehc_checks.clients.kubernetes.paths import forbidden, parts, verb_of


@pytest.mark.parametrize(
    ("path", "verb", "expected"),
    [
        ("/apis", "get", ("", None, "", None)),
        ("/version", "get", ("", None, "", None)),
        ("/api/v1", "get", ("", None, "", None)),
        ("/apis/keda.sh/v1alpha1", "get", ("keda.sh", None, "", None)),
        ("/api/v1/nodes", "list", ("", None, "nodes", None)),
        ("/api/v1/namespaces", "list", ("", None, "namespaces", None)),
        ("/api/v1/namespaces/a", "get", ("", None, "namespaces", "a")),
        ("/api/v1/namespaces/a/secrets", "list", ("", "a", "secrets", None)),
        ("/api/v1/namespaces/a/secrets/b", "get", ("", "a", "secrets", "b")),
        ("/apis/apps/v1/namespaces/a/deployments/b/status", "get", ("apps", "a", "deployments", "b")),
    ],
)
def test_a_path_is_taken_apart(path: str, verb: str, expected: object) -> None:
    assert parts(path) == expected
    assert verb_of("GET", path) == verb


def test_what_is_forbidden_is_named_as_a_role_would_grant_it() -> None:
    text = str(forbidden("/apis/apps/v1/namespaces/a/deployments/b"))
    assert "get" in text
    assert "deployments.apps" in text
    assert "a" in text
