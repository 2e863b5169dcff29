"""Deletes what mehc never loads from the image's environment. The Dockerfile runs it, by that environment's Python.

The Kubernetes client brings two classes per kind and version of the API, twice: 120 MB with their bytecode. It imports
each on first use, and mehc sends and reads plain JSON through its ``ApiClient``, so what the import of all of mehc has
not loaded goes. botocore brings the descriptions of 430 services, read when a client is made; mehc makes
those of ``SERVICES``.
"""

import importlib
import importlib.util
import pkgutil
import shutil
import sys
from pathlib import Path

PACKAGES = ("mehc_checks", "mehc_operator")
GENERATED = tuple(
    f"{client}.{part}"
    for client in ("kubernetes.client", "kubernetes.aio.client")
    for part in ("api", "models")
)
SERVICES = {"ecr", "s3", "secretsmanager", "sqs", "sts"}
"""Those of AWS that mehc asks."""
LOGINS = {"signin", "sso", "sso-oidc"}
"""Those that botocore itself asks for credentials."""


def modules() -> list[str]:
    """The names of all modules of mehc."""
    found = []
    for package in PACKAGES:
        found += [package, *(each.name for each in pkgutil.walk_packages(folder(package), f"{package}."))]
    return found


def folder(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package} in {sys.prefix}")
    return list(spec.submodule_search_locations)


def delete_unloaded(package: str) -> None:
    """Of a package's own modules, those that are not imported by now."""
    (place,) = map(Path, folder(package))
    for module in place.glob("*.py"):
        if module.stem != "__init__" and f"{package}.{module.stem}" not in sys.modules:
            module.unlink()
            for compiled in place.glob(f"__pycache__/{module.stem}.*.pyc"):
                compiled.unlink()


def delete_services() -> None:
    """Those of AWS that nothing asks; the files beside them hold for every service."""
    (place,) = map(Path, folder("botocore"))
    for service in place.glob("data/*/"):
        if service.name not in SERVICES | LOGINS:
            shutil.rmtree(service)


def main() -> None:
    for module in modules():
        importlib.import_module(module)
    for package in GENERATED:
        delete_unloaded(package)
    delete_services()


if __name__ == "__main__":
    main()
