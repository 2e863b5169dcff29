"""The Dockerfile's own steps, carried out without a container engine, and what they build run as the image runs it."""

import fnmatch
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template

import pytest
from packaging.requirements import Requirement

from testbed.controlplane import ControlPlane
from testbed.dockerfile import DOCKERFILE, Build, Instruction, as_user, stages
from testbed.operatorprocess import Operator
from testbed.process import remove_directory, temporary_directory
from testbed.tools import ROOT

pytestmark = pytest.mark.timeout(600)  # the first build downloads what pip keeps
UID, GID = 65532, 65532
BUILD, FINAL = stages(DOCKERFILE.read_text())


def given(word: str, instructions: list[Instruction] = FINAL) -> list[str]:
    return [each.text for each in instructions if each.word == word]


def variables() -> dict[str, str]:
    """Those of ENV, an ARG in them as its default says."""
    defaults = {
        name: value.strip('"')
        for name, _, value in (text.partition("=") for text in given("ARG") if "=" in text)
    }
    pairs = dict(pair.split("=", 1) for text in given("ENV") for pair in text.split())
    return {name: Template(value).safe_substitute(defaults) for name, value in pairs.items()}


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    folder = temporary_directory("image")
    folder.chmod(0o755)
    try:
        built = Build(folder)
        built.carry_out(BUILD)
        yield built
    finally:
        remove_directory(folder)


class Image:
    """What was built, run as the final stage says."""

    def __init__(self, build: Build) -> None:
        self.python = build.place("/opt/mehc/bin/python")
        self.mehc = build.place("/opt/mehc/bin/mehc")
        self.workdir = build.folder / "read-only"
        self.workdir.mkdir(exist_ok=True)
        self.workdir.chmod(0o555)
        self.scratch = build.folder / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.scratch.chmod(0o777)

    def command(self, *argv: str | Path) -> list[str]:
        return [*as_user(UID, GID), *map(str, argv)]

    def environment(self) -> dict[str, str]:
        """The image's variables, and HOME as container runtimes set it; temporary files would show in ``scratch``."""
        path = f"{self.mehc.parent}:/usr/bin:/bin"
        return {**variables(), "PATH": path, "HOME": "/", "TMPDIR": str(self.scratch)}

    def run(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*argv),
            cwd=self.workdir,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def image(build: Build) -> Image:
    return Image(build)


def test_it_runs_as_a_number_that_is_nobody(image: Image) -> None:
    """Kubelets can verify runAsNonRoot of a number only."""
    assert given("USER") == [f"{UID}:{GID}"]
    assert (given("ENTRYPOINT"), given("CMD")) == (['["mehc"]'], ['["run"]'])
    told = "import os; print(os.getuid(), os.access('.', os.W_OK), os.access('/', os.W_OK))"
    uid, here, root = image.run(image.python, "-c", told).stdout.split()
    assert int(uid) != 0
    assert (here, root) == ("False", "False")


def test_what_the_final_stage_takes_is_what_was_built(build: Build) -> None:
    (copied,) = [text for text in given("COPY") if text.startswith("--from=build")]
    _, source, target = copied.split()
    assert source == target  # an environment does not survive a move
    assert build.place(source).is_dir()
    assert variables()["PATH"] == f"{source}/bin:$PATH"
    assert variables()["MEHC_DOCS_URL"] == ""  # the repository at the released tag


def test_both_stages_have_one_base_of_a_fixed_version() -> None:
    bases = [stage[0].words[0] for stage in (BUILD, FINAL)]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_the_build_context_is_what_the_build_copies(build: Build) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    kept = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert kept == set(build.copied)
    ignored = [pattern.removeprefix("**/") for pattern in patterns[1:] if not pattern.startswith("!")]
    assert any(fnmatch.fnmatch("__pycache__", pattern) for pattern in ignored)


def test_the_commands_work(image: Image) -> None:
    text = image.run(image.mehc, "--help")
    assert (text.returncode, text.stderr) == (0, "")
    assert "check" in text.stdout
    catalogue = image.run(image.mehc, "catalog")
    assert (catalogue.returncode, catalogue.stderr) == (0, "")
    assert "DatabaseMigrated" in catalogue.stdout
    plugin = image.run(image.mehc.with_name("kubectl-mehc"), "run", "--help")
    assert (plugin.returncode, plugin.stderr) == (0, "")
    nothing = image.run(image.mehc, "check")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("mehc: no cluster to check")


def locked() -> set[str]:
    """The distributions that the lock has for this interpreter, by their normalized names."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    found = set()
    for line in lines:
        if line and not line.startswith(("#", " ")):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate():
                found.add(normalized(requirement.name))
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_there_is_what_the_lock_names_and_nothing_else(image: Image) -> None:
    program = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
    names = json.loads(image.run(image.python, "-c", program).stdout)
    brought = (
        {"setuptools"} if sys.version_info < (3, 12) else set()
    )  # by `python -m venv`, which the image's does not
    assert {normalized(name) for name in names} - brought == locked() | {"mehc"}
    assert image.run(image.python, "-m", "pip", "--version").returncode == 1
    where = image.run(image.python, "-c", "import mehc_operator, mehc_checks; print(mehc_operator.__file__)")
    assert where.stdout.startswith(str(image.python.parents[1]))


def test_everybody_may_read_all_of_it(build: Build) -> None:
    for folder, _, files in os.walk(build.place("/opt/mehc")):
        assert stat.S_IMODE(Path(folder).stat().st_mode) & 0o005 == 0o005, folder
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                assert path.stat().st_mode & stat.S_IROTH, path


class Built(Operator):
    """`mehc run` of the image."""

    def __init__(self, control_plane: ControlPlane, image: Image) -> None:
        super().__init__(control_plane)
        self._image = image

    def environment(self) -> Mapping[str, str]:
        return self._image.environment()

    def command(self) -> Sequence[str | Path]:
        _, *words = super().command()
        return self._image.command(self._image.mehc, *words)


def test_the_operator_runs_and_leaves_no_file(control_plane: ControlPlane, image: Image) -> None:
    with Built(control_plane, image) as operator:
        status, _ = operator.get("/readyz")
        assert status == 200
        if sys.platform == "linux":
            owner = Path(f"/proc/{operator.pid}").stat().st_uid
            assert owner != 0
        assert list(image.scratch.iterdir()) == []
