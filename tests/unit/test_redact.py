import base64
import json
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.redact import (
    LONGEST_TEXT,
    LONGEST_VALUE,
    MASK,
    MOST_VALUES,
    PUBLIC_VALUES,
    WITHHELD,
    Redactor,
    of_secret,
    sensitive,
)
from testbed.planting import FORMS

SECRETS = st.text(min_size=3, max_size=20).filter(
    lambda s: len(s.strip()) >= 3 and s.lower() not in PUBLIC_VALUES
)
STRONG = "Pl4nted/Pa55w?rd#9f3c"


def knowing(*values: str) -> Redactor:
    redactor = Redactor()
    redactor.add(*values)
    return redactor


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("map[a:b]/vllm:1 is no image", "a map/vllm:1 is no image"),
        ("'map[a:map[b:c d:e] f:[1 2]]' is no name", "'a map' is no name"),
        ("[map[a:b] map[c:d]]", "[a map a map]"),
        ("'library/map[a' is no repository", "'library/a map' is no repository"),
        ("map[a:b c:d … z]: no such host", "a map: no such host"),
        ("cannot unmarshal string into Go value of type map[string]int", None),
        ("bitmap[a:b]", None),
        ("spec.tolerations[0]: no map", None),
    ],
)
def test_what_go_prints_of_a_map_is_not_shown(text: str, shown: str | None) -> None:
    assert Redactor().text(text) == (text if shown is None else shown)


def test_a_text_that_is_called_something_is_not_shown() -> None:
    redactor = Redactor()
    redactor.call([("map[a:b]", "a map of 1 key"), ("[a b]", "a list of 2 items")])
    assert (
        redactor.text("map[a:b] is no port, [a b] neither")
        == "a map of 1 key is no port, a list of 2 items neither"
    )


HARD = (STRONG, "a:b@c/d%2Fe f", '"it\'s\\mine"&<so>', "Zürich-鍵-🔑-7", "pass%word%zz%", "+/+/+/Ab12")


def left_of(secret: str, shown: str) -> list[str]:
    """The forms of ``secret`` that can be read in ``shown``, or most of it in base64."""
    forms = {make(secret).strip("\"'") for name, make in FORMS.items() if not name.startswith("base64 of")}
    return [form for form in forms if len(form) > 2 and form in shown]


@pytest.mark.parametrize("secret", HARD)
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_hard_secret_survives(secret: str, form: str) -> None:
    written = FORMS[form](secret)
    shown = knowing(secret).text(f"it said {written}, and went on").replace(MASK, "")
    assert left_of(secret, shown) == []
    if form.startswith("base64 of"):
        own = base64.b64encode(secret.encode()).decode()
        assert len(shown) <= len("it said , and went on") + len(written) - len(own) + 6


@pytest.mark.parametrize("secret", HARD)
def test_of_a_secret_that_values_quote_the_meant_one_goes_too(secret: str) -> None:
    redactor = knowing(*sensitive({"url": f"redis://u:{quote(secret, safe='')}@host/0"}))
    for written in (secret, quote(secret, safe=""), json.dumps(secret)):
        assert left_of(secret, redactor.text(f"it said {written}").replace(MASK, "")) == []


@given(SECRETS, st.sampled_from(["plain", "URL-quoted", "JSON", "base64", "Python", "SQL"]))
def test_no_form_of_a_secret_survives(secret: str, form: str) -> None:
    written = FORMS[form](secret).strip("\"'")
    assert len(written) < 3 or written not in knowing(secret).text(f"\x00 {written} \x00").replace(MASK, "")


@given(st.text("abA1/=", min_size=3, max_size=6), st.text("abA1/= ", max_size=40))
def test_no_secret_survives_in_any_text(secret: str, text: str) -> None:
    shown = knowing(secret).text(text).replace(MASK, "\x00")
    assert secret not in shown or secret.islower()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@host:6379/0 and rediss://:x@h", f"redis://{MASK}@host:6379/0 and rediss://{MASK}@h"),
        ("redis://u:PW/x@host", f"redis://{MASK}@host"),
        ("rediss://:a?b#c/d@host:6379/0", f"rediss://{MASK}@host:6379/0"),
        ("https://TOKEN@host/path", f"https://{MASK}@host/path"),
        ("https://u:PW/x@host", f"https://{MASK}@host"),
        ("http://TO/KEN@prometheus:9090/x@y", f"http://{MASK}@prometheus:9090/x@y"),
        ("https://login?to=redis://u:pw@host", f"https://login?to=redis://{MASK}@host"),
        ("https://u:pw@a,https://u:pw@b", f"https://{MASK}@a,https://{MASK}@b"),
        ("(postgresql+psycopg2://u:p@h/db)", f"(postgresql+psycopg2://{MASK}@h/db)"),
        ("postgresql://h/db?user=x&password=pw&sslmode=require", f"postgresql://h/db?user=x&password={MASK}&sslmode=require"),
        ("https://s3/b?X-Amz-Signature=abc", f"https://s3/b?X-Amz-Signature={MASK}"),
    ],
)  # fmt: skip
def test_credentials_in_urls_go_even_when_unknown(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "redis://cache.example.com:6379/15 refused user 'default'",
        "https://registry.example.com/v2/vllm@sha256:0123",
        "https://host:8443/users/a@b",
        "http://[::1]:9090/api/v1/query?query=up",
        "write it as postgresql://user:password@host:5432/database",
        "mail root@example.com about oci://host/chart",
        f"postgresql://{MASK}@host",
        "authorization failed: insufficient_scope",
        "postgresql://db-1 lists postgres among its databases",
    ],
)
def test_addresses_and_words_stay_readable(text: str) -> None:
    assert knowing("s3cret", "postgresqlserver").text(text) == text


def test_a_password_that_is_a_word_is_masked_as_a_word() -> None:
    assert knowing("postgres").text("postgresql: role postgres") == f"postgresql: role {MASK}"


def test_secrets_that_overlap_are_masked_whole() -> None:
    assert knowing("abc1", "c1def").text("x abc1def y") == f"x {MASK} y"
    assert knowing("red", "acted").text("RED red acted") == f"RED {MASK} {MASK}"


@pytest.mark.parametrize("part", [f"{STRONG[:9]}…", f"…{STRONG[-9:]}", f"it says … {STRONG[:7]}…"])
def test_the_part_of_a_secret_beside_an_ellipsis_goes(part: str) -> None:
    shown = knowing(STRONG).text(f"it said {part}")
    assert STRONG[:7] not in shown
    assert STRONG[-9:] not in shown
    assert MASK in shown


def test_a_long_value_is_masked_from_where_it_begins() -> None:
    long = "".join(f"line {number}\n" for number in range(200))
    for form in (
        long,
        quote(long, safe=""),
        base64.b64encode(long.encode()).decode(),
        " ".join(long.split()),
    ):
        assert knowing(long).text(f"it is {form}") == f"it is {MASK}"


@given(st.integers(0, 40))
def test_a_secret_that_a_long_text_is_cut_within_goes(before: int) -> None:
    for end in range(LONGEST_TEXT - 4 * len(STRONG), LONGEST_TEXT + before, 7):
        shown = knowing(STRONG).text("-" * end + STRONG + "-" * 100)
        assert len(shown) <= LONGEST_TEXT
        assert STRONG[:3] not in shown


def test_control_characters_go_and_lines_stay() -> None:
    assert Redactor().text("a\x00b\x1b[31mc\nd\te\ud800\u202e") == "a\ufffdb\ufffd[31mc\nd\te\ufffd\ufffd"


def test_trees_are_redacted_everywhere() -> None:
    tree = {"a s3cret": ["s3cret", {"b": "x s3cret y", "n": 3, "none": None}]}
    assert knowing("s3cret").tree(tree) == {f"a {MASK}": [MASK, {"b": f"x {MASK} y", "n": 3, "none": None}]}


def test_sensitive_values_are_found_by_key_and_in_urls() -> None:
    values = {
        "redis": {"auth": "t0ken", "enableAuth": True},
        "config": {"values": {"launch": {"cache_redis_aws_url": "rediss://u:p%40ss/w@h:6379/0"}}},
        "image": {"repository": "vllm"},
        "list": [{"password": "hunter2"}, {"password": 4711}],
        "url": 'redis://:sp ace"quote@h',
        "query": "postgresql://h/d?sslpassword=qqq",
        "env": [{"name": "DB_PASSWORD", "value": "env1"}],
    }
    assert set(sensitive(values)) == {
        "t0ken", "p%40ss/w", "p%40ss", "hunter2", "4711", "sp ace\"quote", "qqq", "env1"
    }  # fmt: skip


def test_of_a_secret_all_is_secret_but_what_names_the_server_and_the_user() -> None:
    data = {
        "host": "db.example.com",
        "username": "gateway",
        "port": "5432",
        "database_url": "postgresql://u:pw1@h/d",
        "anything": "else",
    }
    assert set(of_secret(data)) == {"postgresql://u:pw1@h/d", "pw1", "else"}
    assert knowing("true", "False").text("it is true, False") == "it is true, False"


def test_with_more_values_than_can_be_held_no_text_is_let_through() -> None:
    redactor = knowing(*(f"value-{number}" for number in range(MOST_VALUES)))
    assert redactor.text("value-7") == MASK
    redactor.add("one more", *(f"further-{number}" for number in range(1000)))
    assert redactor.text("innocent") == WITHHELD


def test_what_is_held_is_bounded() -> None:
    redactor = Redactor()
    for number in range(1000):
        redactor.add(f"{number:06}" + "ü" * 100_000)
    held = [*redactor._values, *redactor._forms]
    assert sum(map(sys.getsizeof, held)) < 4_000_000
    assert max(map(len, redactor._values)) == LONGEST_VALUE


HOSTILE = (
    "a",
    "a://",
    "x@",
    "redis://:",
    "?a=",
    "…",
    "%41",
    "%",
    "\\",
    "\\u0041",
    "&amp;",
    "&",
    "''",
    "aab",
    "map[",
    "map[a:b] ",
)
"""What a text is made of that would take a pattern that begins again at each character the square of its length."""


def steps(redactor: Redactor, text: str) -> int:
    """Calls of functions, Python's and built-in ones, that ``text`` takes: none depends on how fast the machine is."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counted)
    try:
        redactor.text(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("part", HOSTILE)
def test_the_steps_of_a_text_grow_with_its_length(part: str) -> None:
    redactor = knowing(
        *("a" * length for length in range(3, 100)), *(f"…a{n}" for n in range(90)), "Zürich/7"
    )
    short, long = (steps(redactor, (part * size)[:size]) for size in (LONGEST_TEXT // 8, LONGEST_TEXT))
    assert long <= 8 * short + 200


@pytest.mark.parametrize("part", HOSTILE)
def test_a_long_text_takes_no_more_steps_than_the_longest_that_is_looked_at(part: str) -> None:
    redactor = knowing("Zürich/7", "aaa")
    most, more = (steps(redactor, (part * size)[:size]) for size in (LONGEST_TEXT, 20 * LONGEST_TEXT))
    assert more <= most + 50


@pytest.mark.parametrize("count", [1, 10, MOST_VALUES])
def test_the_steps_of_a_text_grow_with_the_number_of_values(count: int) -> None:
    text = "it is innocent %41 \\n "
    one = steps(knowing("Zürich/7"), text)
    assert steps(knowing(*(f"Zürich/{n}" for n in range(count))), text) <= count * one
