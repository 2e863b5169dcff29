"""When resources have their first verdict."""

import subprocess
import threading
import time

from testbed.controlplane import ControlPlane


class Judged:
    """Watches a namespace and notes when each resource first has a verdict (monotonic seconds)."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self._command = [
            *(
                "kubectl",
                f"--kubeconfig={control_plane.kubeconfig}",
                "get",
                "mehc",
                "-n",
                namespace,
                "--watch",
            ),
            *("-o", 'jsonpath={.metadata.name} {.status.health}{"\\n"}'),
        ]
        self._seen: dict[str, float] = {}
        self._news = threading.Condition()

    def __enter__(self) -> "Judged":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def wait(self, names: set[str], *, seconds: float) -> dict[str, float]:
        """When each of ``names`` had its verdict. Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: names <= self._seen.keys(), timeout=seconds):
                raise TimeoutError(
                    f"{len(names - self._seen.keys())} resources have no verdict after {seconds} s"
                )
            return dict(self._seen)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                name, _, health = line.strip().partition(" ")
                if health:
                    with self._news:
                        self._seen.setdefault(name, time.monotonic())
                        self._news.notify_all()
