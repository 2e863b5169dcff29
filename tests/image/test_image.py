"""The operator's image, built from the Dockerfile, and its programs run as a container runtime runs them."""

import ast
import fnmatch
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement

from hack.slim import LOGINS, SERVICES
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.reasons import RunnerReasons
from testbed import baseimage, operatorimage
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.imageroot import GID, KUBECONFIG, UID, ImageRoot
from testbed.installation import overlaid
from testbed.operatorimage import ServedImage
from testbed.operatorprocess import Operator
from testbed.process import remove_directory, temporary_directory
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.tools import ROOT

pytestmark = pytest.mark.timeout(1800)  # the first build, on a slow machine
ENVIRONMENT = Path("opt/mehc")
MEGABYTES = 160
"""Of all files, at most. They are 150 MB on Debian's own Python: azure-identity and what it needs are 20 of them,
google-auth and what it needs besides 5."""

IMPORT_NAMED = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:  # no module, but what its package holds
        package, _, held = name.rpartition(".")
        getattr(importlib.import_module(package), held)
"""
IMPORT_ALL = """
import importlib, json, pkgutil
names = []
for package in ("mehc_checks", "mehc_operator"):
    path = importlib.import_module(package).__path__
    names += [package, *(module.name for module in pkgutil.walk_packages(path, package + "."))]
for name in names:
    importlib.import_module(name)
print(json.dumps(names))
"""


@pytest.fixture(scope="module")
def image(operator_image: ServedImage) -> Iterator[ImageRoot]:
    folder = temporary_directory("image")
    folder.chmod(0o755)
    try:
        yield ImageRoot(operator_image, folder)
    finally:
        remove_directory(folder)


def sources() -> dict[Path, str]:
    """mehc's own code, by file."""
    files = [path for folder in ("operator", "checks") for path in (ROOT / folder).rglob("*.py")]
    return {path: path.read_text() for path in files}


def test_it_runs_as_a_number_that_is_nobody_and_writes_nothing(image: ImageRoot) -> None:
    """Kubelets can verify runAsNonRoot of a number only."""
    assert image.configuration["User"] == f"{UID}:{GID}"
    assert (image.configuration["Entrypoint"], image.configuration["Cmd"]) == (["mehc"], ["run"])
    assert image.environment()["MEHC_DOCS_URL"] == ""  # the repository at the released tag
    told = "import os; print(os.getuid(), os.getgid(), *(os.access(p, os.W_OK) for p in ('.', '/', '/opt/mehc')))"
    assert image.run("python", "-c", told).stdout.split() == [str(UID), str(GID), "False", "False", "False"]


def test_the_base_is_fixed_by_its_digest() -> None:
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", baseimage.name())


def test_the_base_of_these_tests_has_the_same_minor_version(image: ImageRoot) -> None:
    version = image.run("python", "-c", "import platform; print(platform.python_version())").stdout
    assert baseimage.name().startswith(f"python:{version.rpartition('.')[0]}.")


def test_the_build_context_is_what_the_build_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(operatorimage.context()) == {source for each in copies for source in each.split()}
    ignored = [pattern.removeprefix("**/") for pattern in patterns[1:] if not pattern.startswith("!")]
    assert any(fnmatch.fnmatch("__pycache__", pattern) for pattern in ignored)


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["run", "--help"], ["explain", "--help"]])
def test_help_of_the_commands(image: ImageRoot, words: list[str]) -> None:
    done = image.run("kubectl-mehc" if words == ["run", "--help"] else "mehc", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_the_commands_work(image: ImageRoot) -> None:
    version = image.run("mehc", "--version")
    assert (version.returncode, version.stdout.split()[0], version.stderr) == (0, "mehc", "")
    catalogue = image.run("mehc", "catalog")
    assert (catalogue.returncode, catalogue.stderr) == (0, "")
    assert "DatabaseMigrated" in catalogue.stdout
    page = image.run("mehc", "check", "-f", "/dev/null", "--only", "ConfigValid", "-o", "html")
    assert (page.returncode, page.stderr) == (1, "")
    assert page.stdout.startswith("<!DOCTYPE html>")
    nothing = image.run("mehc", "check")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("mehc: no cluster to check")


def test_every_module_is_there_and_is_imported(image: ImageRoot) -> None:
    done = image.run("python", "-W", "error::ImportWarning", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    here = {
        ".".join(path.relative_to(ROOT / folder).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("operator", "checks")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name for name in json.loads(done.stdout) if not name.endswith("__main__")} == {
        name for name in here if not name.endswith("__main__")
    }


def test_what_mehc_imports_on_first_use_is_there(image: ImageRoot) -> None:
    """Each import statement, also those that stand in functions and wait for what they need."""
    names = {"boto3"}
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text, path)):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {f"{node.module}.{each.name}" for each in node.names}
    assert {"kopf", "psycopg.rows.dict_row"} & names
    done = image.run("python", "-W", "error::ImportWarning", "-c", IMPORT_NAMED, *sorted(names))
    assert (done.returncode, done.stderr) == (0, "")


def test_what_mehc_takes_from_the_kubernetes_client_is_there(image: ImageRoot) -> None:
    """Its classes are imported on first use: an import of mehc would not show that one is missing."""
    names = set()
    for text in sources().values():
        if "kubernetes.aio import" in text:
            names |= {("client", each) for each in re.findall(r"\bclient\.([A-Za-z]\w*)", text)}
            names |= {("config", each) for each in re.findall(r"\bconfig\.([A-Za-z]\w*)", text)}
    assert ("client", "ApiClient") in names
    program = "import sys; from kubernetes.aio import client, config; [eval(each) for each in sys.argv[1:]]"
    done = image.run("python", "-c", program, *(".".join(each) for each in sorted(names)))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_services_of_aws_that_mehc_asks_are_there(image: ImageRoot) -> None:
    asked = {
        service for text in sources().values() for service in re.findall(r'\.call\(\s*"([a-z0-9-]+)",', text)
    }
    assert asked == SERVICES
    program = (
        "import boto3, sys\n"
        "session = boto3.Session(aws_access_key_id='a', aws_secret_access_key='b', region_name='us-east-1')\n"
        "for name in sys.argv[1:]: session.client(name)\n"
        "print(*sorted(session.get_available_services()))"
    )
    done = image.run("python", "-c", program, *sorted(SERVICES | LOGINS))
    assert (done.returncode, done.stdout.split()) == (0, sorted(SERVICES | LOGINS)), done.stderr


def locked(version: str) -> set[str]:
    """The distributions that the lock has for that version of Python, by their normalized names."""
    environment = {"python_version": version.rpartition(".")[0], "python_full_version": version}
    found = set()
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith(("#", " ")):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found.add(normalized(requirement.name))
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_there_is_what_the_lock_names_and_no_tool(image: ImageRoot) -> None:
    program = (
        "import importlib.metadata as m, json, platform;"
        "print(json.dumps([platform.python_version(), [d.name for d in m.distributions()]]))"
    )
    version, names = json.loads(image.run("python", "-c", program).stdout)
    assert {normalized(name) for name in names} == locked(version) | {"mehc"}
    assert image.run("python", "-m", "pip", "--version").returncode == 1


def test_it_has_no_program_but_python_and_mehc(image: ImageRoot) -> None:
    """No shell, no package manager: what is in the image is what a scanner has to look at."""
    folders = [image.files / each for each in ("usr/bin", "usr/sbin", "usr/local/bin")]
    programs = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    assert {name for name in programs if not name.startswith("python")} == set()
    own = {path.name for path in (image.files / ENVIRONMENT / "bin").iterdir()}
    assert {"mehc", "kubectl-mehc", "python"} <= own
    assert own & {"pip", "pip3"} == set()


def test_scanners_find_the_packages_that_it_is_made_of(image: ImageRoot) -> None:
    described = {
        path.name: dict(re.findall(r"^(Package|Status|Version): (.+)$", path.read_text(), re.MULTILINE))
        for path in (image.files / "var/lib/dpkg/status.d").iterdir()
    }
    assert {"base-files", "ca-certificates", "libc6", "libssl3t64"} <= set(described)
    for name, fields in described.items():
        assert (fields["Package"], fields["Status"]) == (name, "install ok installed")
        assert fields["Version"]
    assert "ID=debian" in (image.files / "etc/os-release").read_text().splitlines()


def test_it_trusts_the_public_authorities(image: ImageRoot) -> None:
    program = "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])"
    assert int(image.run("python", "-c", program).stdout) > 100


def test_its_size(image: ImageRoot) -> None:
    size = sum(path.stat().st_size for path in files(image.files))
    assert size < MEGABYTES * 10**6, f"{size / 10**6:.0f} MB"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def test_every_check_runs(image: ImageRoot, control_plane: ControlPlane) -> None:
    """On an installation of which nothing answers: each check asks, and misses no part of itself."""
    installed = control_plane.create_namespace("installed")
    values = overlaid(
        AWS,
        at("config.values.launch.endpoint_namespace", installed),
        at("aws.configMap.namespaces", [installed]),
    )
    Helm(control_plane).install("me", installed, values)
    words = ("-n", installed, "-o", "json", "--kubeconfig", str(image.give_kubeconfig(control_plane)))
    done = image.run(
        "mehc",
        "check",
        *words,
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_REGION="us-east-1",
    )
    assert (done.returncode, done.stderr) == (1, "")
    reasons = {each["name"]: each["reason"] for each in json.loads(done.stdout)["checks"]}
    assert set(reasons) == set(catalogue())
    assert RunnerReasons.INTERNAL_ERROR.name not in reasons.values(), reasons


def test_all_is_compiled_and_everybody_may_read_it(image: ImageRoot) -> None:
    """A read-only root keeps no bytecode: what is not compiled in the build is compiled at every start."""
    packages = next((image.files / ENVIRONMENT).glob("lib/python*/site-packages"))
    library = next(image.files.glob("usr/**/python3.*/asyncio")).parent
    own = (*packages.glob("mehc_*/**/*.py"), *packages.glob("kubernetes/**/*.py"))
    for module in (*own, *library.glob("*.py"), *library.glob("asyncio/*.py")):
        assert list(module.parent.glob(f"__pycache__/{module.stem}.*.pyc")), module
    for folder, _, files in os.walk(image.files / ENVIRONMENT):
        assert stat.S_IMODE(Path(folder).stat().st_mode) & 0o005 == 0o005, folder
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                assert path.stat().st_mode & stat.S_IROTH, path


class Built(Operator):
    """`mehc run` of the image."""

    def __init__(self, control_plane: ControlPlane, image: ImageRoot) -> None:
        super().__init__(control_plane, kubeconfig=KUBECONFIG)
        self._image = image

    def environment(self) -> Mapping[str, str]:
        return {}

    def command(self) -> Sequence[str | Path]:
        _, *words = super().command()
        return self._image.command("mehc", *map(str, words))


def test_the_operator_runs(control_plane: ControlPlane, image: ImageRoot) -> None:
    image.give_kubeconfig(control_plane)
    with Built(control_plane, image) as operator:
        assert operator.get("/readyz")[0] == 200
        assert psutil.Process(operator.pid).uids().real == UID
