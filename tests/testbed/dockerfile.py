"""The project's Dockerfile, and its build without a container engine: the same commands, in a folder of their own.

Absolute paths of the image lie below that folder. `python` and `pip` are those of an environment that stands for the
base image's. Groups and users are not made: the tests run what was built as the numbers that USER names.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import venv
from dataclasses import dataclass, field
from pathlib import Path

from testbed.setup import uv
from testbed.tools import ROOT

DOCKERFILE = ROOT / "Dockerfile"


class BuildError(RuntimeError):
    """A command of the build failed; the message ends with its output."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a Dockerfile, its continuations joined."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage; its FROM comes first."""
    found: list[list[Instruction]] = []
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append(Instruction(word, rest.strip()))
    return found


@dataclass(slots=True)
class Build:
    """What the build stage leaves in ``folder``, which stands for the image's root."""

    folder: Path
    copied: list[str] = field(default_factory=list)
    """What it took out of the project, in its order."""
    _workdir: str = "/"

    def place(self, path: str) -> Path:
        """Where an absolute path of the image is."""
        return self.folder / path.lstrip("/")

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Raises BuildError, and ValueError for an instruction that it does not know."""
        venv.create(self.folder / "base", with_pip=False)
        self._run([uv(), "pip", "install", "--quiet", "--python", str(self._base("python")), "pip"])
        for instruction in instructions:
            match instruction.word:
                case "FROM":
                    pass
                case "WORKDIR":
                    self._workdir = instruction.text
                    self.place(self._workdir).mkdir(parents=True)
                case "COPY":
                    *sources, target = instruction.words
                    for source in sources:
                        self._copy(source, target)
                case "RUN":
                    self._run(["sh", "-ec", self._here(instruction.text)])
                case other:
                    raise ValueError(f"the build stage has an instruction {other}, which is not played here")

    def _copy(self, source: str, target: str) -> None:
        self.copied.append(source)
        here = self.place(self._workdir) / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, here, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, here / source if target.endswith("/") else here)

    def _here(self, command: str) -> str:
        """The command with its absolute paths below the folder, and with pip's cache: the wheels are the same."""
        words = command.replace(" --no-cache-dir", "").split(" ")
        moved = " ".join(f"{self.folder}{word}" if word.startswith("/") else word for word in words)
        if importlib.util.find_spec("ensurepip") is None:  # Debian splits it off
            moved = moved.replace("python -m venv", shlex.join([uv(), "venv", "--seed"]))
        return moved

    def _base(self, program: str) -> Path:
        return self.folder / "base" / "bin" / program

    def _run(self, argv: list[str]) -> None:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        done = subprocess.run(
            argv,
            cwd=self.place(self._workdir),
            env=kept | {"PATH": f"{self._base('')}:/usr/bin:/bin", "PIP_NO_COMPILE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"{shlex.join(argv)} failed with code {done.returncode}:\n{done.stdout[-4000:]}")


def as_user(uid: int, gid: int) -> list[str]:
    """Words before a command that let root run it as another: without rights, but for reading what only root may.

    The interpreter may lie in root's home. Who is no root already runs it as somebody else.
    """
    if os.geteuid() != 0:
        return []
    return [
        *("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"),
        *("--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"),
        *("--ambient-caps=+dac_read_search", "--"),
    ]
