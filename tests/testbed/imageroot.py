"""An image's files in a folder, and its programs run there as a container runtime would run them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from testbed.controlplane import ControlPlane
from testbed.operatorimage import REPOSITORY, ServedImage, tag

UID = GID = 65532
_ENTER = """
root=$1; shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for each in dev proc; do mount --rbind "/$each" "$root/$each"; done
exec env -i "$@"
"""
_ENTER_AS_HERE = """
root=$1; shift
mount --bind "$root" "$root"
for each in dev proc tmp etc/hosts etc/resolv.conf; do mount --rbind "/$each" "$root/$each"; done
exec unshare --root="$root" "$@"
"""
_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
KUBECONFIG = Path("/kubeconfig")


class ImageRoot:
    """``files``: the image's, unpacked; ``configuration``: its User, Env, Entrypoint and so on."""

    def __init__(self, image: ServedImage, folder: Path) -> None:
        self.files = folder
        _, _, text = image.registry.call(
            "GET",
            f"/v2/{REPOSITORY}/manifests/{tag()}",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        manifest = json.loads(text)
        for layer in manifest["layers"]:
            archive = _blob(image, layer["digest"])
            subprocess.run(["tar", "-x", "-z", "-C", folder, "-f", archive], check=True, capture_output=True)
        for name in ("dev", "proc"):
            (folder / name).mkdir(exist_ok=True)
        described = json.loads(_blob(image, manifest["config"]["digest"]).read_text())
        self.configuration: dict[str, Any] = described["config"]

    def environment(self) -> dict[str, str]:
        """The image's variables."""
        return dict(each.split("=", 1) for each in self.configuration["Env"])

    def command(self, *words: str, **more: str) -> list[str]:
        """Words that run ``words`` in the image: as its user, without any right, on files that cannot be written.

        ``more`` are variables.
        """
        variables = [f"{name}={value}" for name, value in (self.environment() | more).items()]
        there = [f"--root={self.files}", f"--wd={self.configuration['WorkingDir']}"]
        enter = ["/usr/bin/unshare", f"--setuid={UID}", f"--setgid={GID}", *there]
        inside = [*variables, "HOME=/", *enter, *words]
        return ["unshare", "--mount", "sh", "-ec", _ENTER, "sh", str(self.files), *inside]

    def program(self) -> list[str]:
        """Words that run the image's mehc, by its Python, as a program of this machine: its user, variables, files
        in /tmp and names of hosts.
        """
        for name in ("hosts", "resolv.conf"):
            (self.files / "etc" / name).touch()
        return [
            "unshare",
            "--mount",
            "sh",
            "-ec",
            _ENTER_AS_HERE,
            "sh",
            str(self.files),
            "/opt/mehc/bin/mehc",
        ]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, **more), capture_output=True, text=True, check=False, env=_PATH
        )

    def give_kubeconfig(self, control_plane: ControlPlane) -> Path:
        """Where the image finds an administrator's kubeconfig of ``control_plane``."""
        known: dict[str, Any] = yaml.safe_load(control_plane.kubeconfig.read_text())
        known["clusters"][0]["cluster"]["certificate-authority"] = "/ca.crt"
        known["users"][0]["user"] = {"token": control_plane.admin_token}
        here = self.files / KUBECONFIG.relative_to("/")
        here.write_text(yaml.safe_dump(known))
        (self.files / "ca.crt").write_bytes(Path(control_plane.ca_file).read_bytes())
        for path in (here, self.files / "ca.crt"):
            path.chmod(0o444)
        return KUBECONFIG


def _blob(image: ServedImage, digest: str) -> Path:
    kind, _, number = digest.partition(":")
    return image.registry.storage / "docker/registry/v2/blobs" / kind / number[:2] / number / "data"
