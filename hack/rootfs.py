"""Lays out the image's files: mehc's environment, its Python, and what both are linked with; no shell, no tools.

The Dockerfile runs it after ``slim.py``, by the environment's Python, on any base of Debian. What is copied comes from
that base, so a newer base is all that a fix of it needs. ``/var/lib/dpkg/status.d`` names the packages that files were
taken from, as distroless images have it, so scanners know their versions.
"""

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

OWNER = 65532
"""The user and group that the image runs as."""
UNUSED = {
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "venv"),
    *("curses", "dbm", "sqlite3", "__pycache__", "site-packages", "dist-packages"),
}
"""Folders of the standard library for a screen, for packages to install, for files that nothing here has."""
UNUSED_COMPILED = (
    "_curses",
    "_dbm",
    "_gdbm",
    "_sqlite3",
    "_test",
    "_tkinter",
    "_ctypes_test",
    "readline",
    "xx",
)
"""What the names of compiled modules begin with that are of no use either; each brings libraries of its own."""
COPIED = (
    *("etc/debian_version", "etc/os-release", "usr/lib/os-release", "etc/nsswitch.conf"),
    *("etc/ld.so.conf", "etc/ld.so.conf.d"),
    *("etc/ssl", "usr/lib/ssl", "usr/share/ca-certificates"),
)
LOADED = ("libgcc_s.so.1",)
"""What glibc opens by its name: it ends threads with it."""
MERGED = ("bin", "lib", "lib64", "sbin")
"""Names in the root for folders of /usr."""
ACCOUNTS = {
    "etc/passwd": f"root:x:0:0:root:/root:/sbin/nologin\nmehc:x:{OWNER}:{OWNER}::/:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nmehc:x:{OWNER}:\n",
}


class RootFolder:
    """The image's files, to be, at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in MERGED:
            (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(f"usr/{name}")

    def copy(self, path: Path) -> None:
        """A file or folder of the base; of a link also what it leads to."""
        there = self.folder / path.parent.resolve().joinpath(path.name).relative_to("/")
        if there.is_symlink() or there.is_file():
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            there.symlink_to(path.readlink())
            self.copy(path.parent / path.readlink())
        elif path.is_dir():
            shutil.copytree(path, there, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(path, there)

    def files(self) -> Iterator[Path]:
        """Each file, by its path in the image."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                if not path.is_symlink():
                    yield Path("/", path.relative_to(self.folder))


def copy_python(root: RootFolder) -> None:
    """The interpreter and its standard library, compiled: on a read-only root, bytecode that is not there is made at
    every start."""
    root.copy(Path(sys.executable).readlink())
    library = Path(sysconfig.get_path("stdlib"))
    there = root.folder / library.relative_to("/")
    shutil.copytree(library, there, symlinks=True, ignore=unused)
    for link in [path for path in there.rglob("*") if path.is_symlink() and path.readlink().is_absolute()]:
        link.unlink()  # Debian's into /etc
    compileall.compile_dir(there, stripdir=str(root.folder), quiet=1)


def unused(folder: str, names: list[str]) -> set[str]:
    """Of ``names``, those that ``shutil.copytree`` leaves out."""
    compiled = Path(folder).name == "lib-dynload"
    return {
        name
        for name in names
        if name in UNUSED
        or name.startswith("config-")
        or name.endswith((".a", ".pyc"))
        or (compiled and name.startswith(UNUSED_COMPILED))
    }


def copy_libraries(root: RootFolder) -> None:
    """What programs and libraries in ``root`` are linked with, which is not in it."""
    linked = [
        path
        for path in root.files()
        if path.suffix == ".so" or ".so." in path.name or path.parent.name == "bin"
    ]
    for path in libraries(linked):
        root.copy(path)
    known = run("ldconfig", "-p")
    for name in LOADED:
        root.copy(Path(next(line for line in known.splitlines() if name in line).split(" => ")[1]))
    run("ldconfig", "-X", "-r", str(root.folder))


def libraries(linked: Iterable[Path]) -> set[Path]:
    """The paths in the base that the loader finds for them. Raises SystemExit where it finds none."""
    found = set()
    for path in linked:
        for line in run("ldd", str(path), check=False).splitlines():
            name, _, rest = line.strip().partition(" => ")
            if rest.startswith("not found"):
                sys.exit(f"{path} is linked with {name}, which is not in the base")
            place = Path((rest or name).split(" ")[0])
            if place.is_absolute():
                found.add(place)
    return found


def describe_packages(root: RootFolder) -> None:
    """Write what dpkg knows of the packages whose files are there, and copy their licenses."""
    described = root.folder / "var/lib/dpkg/status.d"
    described.mkdir(parents=True)
    for package in sorted(owners(root.files())):
        name = package.partition(":")[0]
        (described / name).write_text(run("dpkg-query", "--status", package))
        license_file = Path("/usr/share/doc", name, "copyright")
        if license_file.exists():
            root.copy(license_file)


def owners(files: Iterable[Path]) -> set[str]:
    """The Debian packages that have these files; they may have them under their older place in the root."""
    names = [str(path) for path in files]
    names += [name.removeprefix("/usr") for name in names if name.startswith("/usr/lib")]
    found = set()
    for line in run("dpkg-query", "--search", *names, check=False).splitlines():
        packages, _, path = line.rpartition(": ")
        if path in names and not packages.startswith("diversion by "):
            found |= set(packages.split(", "))
    return found


def run(*words: str, check: bool = True) -> str:
    return subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=check
    ).stdout


def main(folder: Path) -> None:
    root = RootFolder(folder)
    root.copy(Path(sys.prefix))
    copy_python(root)
    for name in COPIED:
        root.copy(Path("/", name))
    copy_libraries(root)
    describe_packages(root)
    for name, text in ACCOUNTS.items():
        (folder / name).write_text(text)
    (folder / "run").mkdir()
    (folder / "var/run").symlink_to("/run")
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
