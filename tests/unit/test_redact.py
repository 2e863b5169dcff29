import base64
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.redact import MASK, Redactor, sensitive

SECRETS = st.text(min_size=3, max_size=20).filter(lambda s: len(s.strip()) >= 3)


@given(SECRETS)
def test_no_form_of_a_secret_survives(secret: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, quote(secret, safe=""), encoded):
        assert form not in redactor.text(f"\x00 {form} \x00").replace(MASK, "")


def test_credentials_in_urls_go_even_when_unknown() -> None:
    assert Redactor().text("redis://user:pw@host:6379/0 and rediss://:x@h") == (
        f"redis://{MASK}@host:6379/0 and rediss://{MASK}@h"
    )


def test_addresses_stay_readable() -> None:
    redactor = Redactor()
    redactor.add("s3cret")
    text = "redis://cache.example.com:6379/15 refused user 'default'"
    assert redactor.text(text) == text


def test_trees_are_redacted_everywhere() -> None:
    redactor = Redactor()
    redactor.add("s3cret")
    tree = {"a s3cret": ["s3cret", {"b": "x s3cret y", "n": 3, "none": None}]}
    assert redactor.tree(tree) == {f"a {MASK}": [MASK, {"b": f"x {MASK} y", "n": 3, "none": None}]}


def test_sensitive_values_are_found_by_key_and_in_urls() -> None:
    values = {
        "redis": {"auth": "t0ken", "enableAuth": True},
        "config": {"values": {"launch": {"cache_redis_aws_url": "rediss://u:p%40ss/w@h:6379/0"}}},
        "image": {"repository": "vllm"},
        "list": [{"password": "hunter2"}],
    }
    assert set(sensitive(values)) == {"t0ken", "p%40ss/w", "hunter2"}
