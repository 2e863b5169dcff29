"""A real containerd (Debian's package), the runtime of the nodes: whether it can pull is the last word."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.process import ComponentError, Process


class Containerd(Process):
    """A daemon with root, state and socket of its own; it runs no containers. Needs root."""

    def __init__(self) -> None:
        super().__init__("containerd")
        self._socket = self.directory / "socket"
        self._hosts = self.directory / "hosts"

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("containerd")
        if executable is None:
            raise ComponentError("no containerd on the PATH; run `make setup`")
        return [executable, "--config", self.directory / "config.toml"]

    def prepare(self) -> None:
        self._hosts.mkdir()
        (self.directory / "config.toml").write_text(
            f'''version = 2
root = "{self.directory / "root"}"
state = "{self.directory / "state"}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"]
[grpc]
address = "{self._socket}"
'''
        )

    def ready(self) -> bool:
        return self._ctr("version").returncode == 0

    def pulls(
        self,
        image: str,
        *,
        ca_file: Path | None = None,
        login: tuple[str, str] | None = None,
        seconds: float = 10,
    ) -> bool:
        """Whether it fetches all of the image's content for this machine's platform. Never falls back to HTTP."""
        host = image.partition("/")[0]
        folder = self._hosts / host
        folder.mkdir(exist_ok=True)
        trust = f'ca = "{ca_file}"\n' if ca_file else ""
        (folder / "hosts.toml").write_text(
            f'server = "https://{host}"\n[host."https://{host}"]\n  capabilities = ["pull", "resolve"]\n  {trust}'
        )
        user = ["--user", ":".join(login)] if login else []
        arguments: list[str | Path] = [
            "images",
            "pull",
            "--snapshotter",
            "native",
            "--hosts-dir",
            self._hosts,
        ]
        try:
            # a namespace for each pull, so that it fetches everything anew
            return (
                self._ctr("--namespace", "pulls", *arguments, *user, image, seconds=seconds).returncode == 0
            )
        except subprocess.TimeoutExpired:
            return False
        finally:
            self._ctr("--namespace", "pulls", "images", "rm", "--sync", image)

    def _ctr(self, *words: str | Path, seconds: float = 10) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["ctr", "--address", str(self._socket), *map(str, words)],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
