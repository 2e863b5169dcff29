"""What a kubelet mounts into a pod for its ServiceAccount: token, certificates and namespace, replaced in one step."""

import secrets
import shutil
from pathlib import Path

from testbed.controlplane import ControlPlane

MOUNTED = "/run/secrets/kubernetes.io/serviceaccount"


class ProjectedAccount:
    """The ``folder`` of one ServiceAccount. Each of its tokens is bound to a Secret, and ends with it."""

    def __init__(self, plane: ControlPlane, namespace: str, account: str, folder: Path) -> None:
        self.folder = folder
        self._plane = plane
        self._namespace = namespace
        self._account = account
        self._secret = ""
        folder.mkdir(exist_ok=True)
        self.rotate()
        for name in ("token", "ca.crt", "namespace"):
            (folder / name).symlink_to(f"..data/{name}")

    @property
    def mounts(self) -> str:
        """What a shell does in a mount namespace, so that a process there finds the folder where pods have it."""
        return f"mount -t tmpfs none /run && mkdir -p {MOUNTED} && mount --bind {self.folder} {MOUNTED}"

    def rotate(self) -> None:
        """Put another token there; the one before it stays valid."""
        self._before = self._secret
        self._secret = f"token-{secrets.token_hex(4)}"
        place = f"/api/v1/namespaces/{self._namespace}"
        bound = self._plane.api("POST", f"{place}/secrets", {"metadata": {"name": self._secret}})
        reference = {
            "apiVersion": "v1",
            "kind": "Secret",
            "name": self._secret,
            "uid": bound["metadata"]["uid"],
        }
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"boundObjectRef": reference},
        }
        answer = self._plane.api("POST", f"{place}/serviceaccounts/{self._account}/token", request)
        content = self.folder / f"..{self._secret}"
        content.mkdir()
        (content / "token").write_text(answer["status"]["token"])
        shutil.copy(self._plane.ca_file, content / "ca.crt")
        (content / "namespace").write_text(self._namespace)
        link = self.folder / "..data_tmp"
        link.symlink_to(content.name)
        link.replace(self.folder / "..data")

    def revoke(self) -> None:
        """End the token before the present one: the API server rejects it within its cache's 10 s."""
        self._plane.api("DELETE", f"/api/v1/namespaces/{self._namespace}/secrets/{self._before}")
