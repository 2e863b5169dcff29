"""Values files are read as the real Helm reads them, and what cannot be read is one clear line."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.valuesfile import LARGEST, Mark, read
from testbed.tools import HELM, resolve

SCALARS = re.split(
    r"\s+",
    """yes No on OFF y N true False ~ null Null NULL
12345e7 1e3 1E-3 1.5e+2 5. .5 -.5e3 1.0 -0 +1 0 00 08 09.5 0777 0o17 0o18 0x1F -0x1F 0x 0b101 +0b1 0b2
1_000 1__0 1_0.5 1e5_0 1e400 1234567 111122223333 9223372036854775807 9223372036854775808
18446744073709551616 12345678901234567890123
0xffffffffffffffffffff -0xffffffffffffffffffff 0777777777777777777777777777
190:20:30 1:30 2020-01-01 2020-01-01T00:00:00Z 2001-12-14t21:59:43.10-05:00
<< = . -- +. e5 _1 1_ 1.2.3 1-2 v1.2 "5" '5' 'yes' "~" "" """.strip(),
)
SCALARS += [f"0x{'f' * 300}", f"0b{'1' * 80}", "9" * 400]
DOCUMENTS = [
    "",
    "# a comment\n",
    "---\n",
    "a: {x: 1}\n---\na: {y: 2}\n",
    "a: {x: 1}\n---\na:\n",
    "1: one\ntrue: two\n1.5: three\nno: four\n2020-01-01: five\n",
    "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n",
    "a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n",
    "c:\n  <<: [{a: 1}, {a: 2, b: 3}]\n",
    "a: !!str 5\nb: !!int '5'\nc: !!float 5\nd: !!bool 'yes'\ne: !foo bar\nf: !!binary aGVsbG8=\n",
    "a: |\n  yes\nb: >-\n  5\nc: 'a\n  b'\n",
    "a: [1, [2, {b: y}], null]\n",
    "{a: 1}\n...\n---\nb: 2\n",
]
REFUSED = [
    "just text",
    "- a\n",
    "a: [1,\n",
    "a: 1\n b: 2\n",
    "\ta: 1",
    "[1]: 1",
    "~: 1",
    "a: .inf",
    "a: \x01",
    "a: *nowhere",
]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> "Helm":
    return Helm(tmp_path_factory.mktemp("chart"))


class Helm:
    """A chart that prints the values that it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = resolve(HELM)
        (folder / "templates").mkdir()
        (folder / "Chart.yaml").write_text("{apiVersion: v2, name: printer, version: 0.1.0}")
        (folder / "templates" / "values.yaml").write_text("printed: {{ toJson .Values | quote }}")

    def values(self, text: str) -> Any:
        """What Helm makes of a values file, or None if it refuses it."""
        file = self.folder / "given.yaml"
        file.write_text(text)
        done = subprocess.run(
            [self.program, "template", "x", self.folder, "--values", file],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return None
        return json.loads(yaml.safe_load(done.stdout)["printed"])


def test_scalars_are_what_helm_takes_them_for(helm: Helm) -> None:
    text = "".join(f"k{index}: {scalar}\n" for index, scalar in enumerate(SCALARS))
    ours = read(text, where="f").values
    theirs = helm.values(text)
    for index, scalar in enumerate(SCALARS):
        # Helm drops null from what it prints when a chart has no default for it.
        assert ours[f"k{index}"] == pytest.approx(theirs.get(f"k{index}")), scalar


@pytest.mark.parametrize("text", DOCUMENTS)
def test_documents_are_what_helm_takes_them_for(text: str, helm: Helm) -> None:
    assert read(text, where="f").values == helm.values(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_helm_refuses_is_refused_in_one_line(text: str, helm: Helm) -> None:
    assert helm.values(text) is None
    with pytest.raises(UsageError, match=r"^f\.yaml, line \d+: [^\n]+$"):
        read(text, where="f.yaml")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scalars=st.lists(
        st.text("0123456789+-._eExobyYnN:~<=aTrue", min_size=1, max_size=7).filter(
            lambda text: not text.endswith((":", "<")) and text not in ("-", ".inf")
        ),
        min_size=40,
        max_size=80,
    )
)
def test_generated_scalars_are_what_helm_takes_them_for(scalars: list[str], helm: Helm) -> None:
    text = "".join(f"k{index}: {scalar}\n" for index, scalar in enumerate(scalars))
    try:
        ours: Any = read(text, where="f").values
    except UsageError:
        ours = None
    theirs = helm.values(text)
    if ours is None or theirs is None:
        assert ours == theirs
        return
    for index, scalar in enumerate(scalars):
        assert ours[f"k{index}"] == pytest.approx(theirs.get(f"k{index}")), scalar


def test_every_key_has_its_place() -> None:
    file = read("a:\n  b: 1\n  c:\n  - x\n  - {d: 2}\n'e.f': 3\n", where="f")
    assert file.marks == {
        "a": Mark(1, 1),
        "a.b": Mark(2, 3),
        "a.c": Mark(3, 3),
        "a.c[0]": Mark(4, 5),
        "a.c[1]": Mark(5, 5),
        "a.c[1].d": Mark(5, 6),
        "e.f": Mark(6, 1),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a {b: *a}\n", "f, line 1: nested deeper than 100 levels"),
        ("[" * 1_000_000, "f, line 1: nested deeper than 100 levels"),
        ("x: 1\ny: " + "{a: " * 1_000_000, "f, line 2: nested deeper than 100 levels"),
        ("x" * (LARGEST + 1), "f: larger than 4 MiB, which no values file is"),
        ("<<: 5\n", "f, line 1: << takes a map"),
        (b"\xff\xfe\x00", "f: not a text file in UTF-8"),
    ],
)
def test_what_helm_would_let_pass_or_die_of(text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text, where="f")
    assert str(raised.value).startswith(said)


def test_anchors_that_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UsageError, match="more than 100000 values, each use of an anchor counted"):
        read("\n".join(lines), where="f")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_no_text_is_a_traceback(text: str) -> None:
    said = ""
    try:
        read(text, where="f")
    except UsageError as error:
        said = str(error)
    assert "\n" not in said
