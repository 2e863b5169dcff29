"""What leaves in a bundle: no secret that was read, nothing that looks like one, and the rest as it was."""

import base64
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest

from mehc_checks.core.errors import UsageError
from mehc_checks.core.redact import MASK, MOST_VALUES, WITHHELD
from mehc_checks.core.text import masked
from mehc_operator.bundle.archive import Archive
from mehc_operator.bundle.scrub import Scrub, lean

SECRET = "a7Pl4nt3d9z"


@pytest.mark.parametrize(
    "line",
    [
        f"password: {SECRET}",
        f"    api_key: {SECRET}",
        f'"token": "{SECRET}"',
        f'\\"secret\\": \\"{SECRET}\\"',
        f"--db-password {SECRET} --host db",
        f"--token={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Proxy-Authorization: Basic {SECRET}",
        f"sent bearer {SECRET}",
        f"redis://u:{SECRET}@cache:6379/0",
        f"redis%3A%2F%2Fu%3A{SECRET}%40cache%3A6379",
        f"https://s3.example/b?X-Amz-Signature={SECRET}",
        f"hf_{SECRET}",
        f"sk-proj-{SECRET}",
        f"ghp_{SECRET}",
        f"xoxb-{SECRET}",
        f"AKIA{SECRET}",
        f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.c2ln",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_removed(line: str) -> None:
    text = Scrub().text(f"before\n{line}\nafter")
    assert SECRET not in text
    assert MASK in text
    assert text.startswith("before\n")


@pytest.mark.parametrize(
    "line",
    [
        "Error: secret not found: token: unexpected status from the registry",
        "the token is missing; password authentication failed for user llm",
        "pod launch-endpoint-id-end-1-6f695b9ddc-mlv54 in namespace model-engine",
        "https://docs.example/docs/checks/RedisReachable.md#connectionrefused",
        "2026-11-28T04:00:00.123456Z GET /v1/models 200 12.5ms",
        "redis:6379, postgresql://db:5432/llm, 10.0.0.1:443",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert Scrub().text(line) == line


def test_a_value_of_letters_and_digits_is_no_word() -> None:
    assert masked(f"token: {SECRET}") == f"token: {MASK}"
    assert masked("token: unexpected status") == "token: unexpected status"


def test_what_was_read_as_a_secret_is_removed_in_any_form() -> None:
    scrub = Scrub()
    scrub.learn(
        {
            "data": {"config.yaml": f"db:\n  password: {SECRET}\n"},
            "env": [{"name": "DB_PWD", "value": "qz8!/x"}],
        }
    )
    for form in (
        SECRET,
        quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        "qz8!/x",
        quote("qz8!/x"),
    ):
        assert form not in scrub.text(f"it said {form} and ended")


def test_long_texts_keep_their_lines() -> None:
    scrub = Scrub()
    scrub.add([SECRET])
    lines = [f"line {number} {SECRET}" for number in range(5000)]
    text = scrub.text("\n".join(lines))
    assert text.count("\n") == len(lines) - 1
    assert text.endswith(f"line 4999 {MASK}")
    assert "more characters" in scrub.text("x" * 100_000)


def test_more_secrets_than_one_redactor_holds() -> None:
    scrub = Scrub()
    scrub.add(f"s3cr3t-{number}-x" for number in range(2 * MOST_VALUES))
    assert scrub.text(f"s3cr3t-0-x s3cr3t-{2 * MOST_VALUES - 1}-x end") == f"{MASK} {MASK} end"
    scrub.add(f"s3cr3t-{number}-y" for number in range(20 * MOST_VALUES))
    assert scrub.text("anything") == WITHHELD


def test_an_object_keeps_names_and_no_values() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": {"a": SECRET}, "managedFields": [SECRET]},
        "spec": {
            "containers": [
                {
                    "env": [
                        {"name": "ANY", "value": SECRET},
                        {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                    "command": ["run", "--password", SECRET, "--port", "80"],
                }
            ]
        },
    }
    kept = lean(pod)
    assert SECRET not in str(kept)
    (container,) = kept["spec"]["containers"]
    assert container["env"][1] == pod["spec"]["containers"][0]["env"][1]  # type: ignore[index]
    assert container["command"] == ["run", "--password", MASK, "--port", "80"]
    assert lean({"kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": {"k": SECRET}}) == {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "type": "Opaque",
        "keys": ["k"],
    }


def test_an_archive_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with Archive(path, largest=100) as archive:
        archive.add("a.txt", "a" * 60)
        archive.add("b.txt", "b" * 60)
        archive.add("c.txt", "c" * 40)
    assert (archive.names, archive.left_out) == (["a.txt", "c.txt"], ["b.txt"])
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["b/a.txt", "b/c.txt"]
    with pytest.raises(UsageError, match="File exists"):
        Archive(path)
    broken = tmp_path / "broken.tar.gz"
    with pytest.raises(ZeroDivisionError), Archive(broken):
        raise ZeroDivisionError
    assert not broken.exists()
