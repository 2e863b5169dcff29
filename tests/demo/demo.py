"""The main job on real components: sound and broken installations side by side, then a fault and its recovery.

Run by `make demo`; `make demo KEEP=1` leaves everything running until Ctrl-C.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from testbed.controlplane import ControlPlane
from testbed.installation import DATABASE_SECRET, Installation, aws_values, overlaid
from testbed.modelengine import migrate
from testbed.operatorprocess import Operator
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.redis import Redis

PASSWORD = "correct horse battery staple"
ACL = {
    # KEDA reads the demand lists without credentials; everything else needs the password.
    "default": "on nopass ~launch-endpoint-autoscaling:* resetchannels -@all +@connection +select +llen",
    "app": f'on ">{PASSWORD}" ~* &* +@all',
}
T = TypeVar("T")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    with ExitStack() as stack:
        demo = Demo(stack)
        demo.install()
        demo.look()
        demo.break_and_mend()
        if keep:
            demo.stay()
    return 0


class Demo:
    """The components, started side by side; stopped by the stack in reverse order."""

    def __init__(self, stack: ExitStack) -> None:
        clock = time.monotonic()
        self.ca = CertificateAuthority()
        start = stack.enter_context
        with ThreadPoolExecutor() as pool:
            control_plane = pool.submit(start, ControlPlane())
            postgres = pool.submit(start, Postgres())
            redis = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            spare = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            self.control_plane = control_plane.result()
            self.postgres, self.redis, self.spare = postgres.result(), redis.result(), spare.result()
        self.postgres.create_role("modelengine", PASSWORD)
        for database, revision in (("sound", "head"), ("behind", "a1b2c3d4e5f6^"), ("empty", None)):
            self.postgres.create_database(database, owner="modelengine")
            if revision:
                migrate(self.postgres, database, revision=revision)
        say(f"control plane, PostgreSQL and two Redis servers are up ({time.monotonic() - clock:.1f} s)")
        self.stack = stack

    def install(self) -> None:
        """Install the CRD, start the operator, apply one sound installation and broken ones."""
        self.operator = self.stack.enter_context(
            Operator(self.control_plane, environment={"SSL_CERT_FILE": str(self.ca.ca_file)})
        )
        say("the CRD is installed and the operator runs")
        clock = time.monotonic()
        for installation in self.installations():
            installation.apply(self.control_plane)
        self.wait_all()
        say(f"5 resources applied and judged in {time.monotonic() - clock:.1f} s")

    def installations(self) -> list[Installation]:
        sound = self.values(self.redis)
        return [
            self.installation("acme-sound", "sound", sound),
            self.installation("acme-never-migrated", "empty", self.values(self.spare)),
            self.installation("acme-two-behind", "behind", self.values(self.spare)),
            self.installation("acme-wrong-password", "sound", self.values(self.spare, password="guess")),
            self.installation(
                "acme-tls-mismatch",
                "sound",
                overlaid(self.values(self.spare, scheme="redis"), {"redis": {"enableTLS": False}}),
            ),
        ]

    def values(self, redis: Redis, *, password: str = PASSWORD, scheme: str = "rediss") -> dict[str, object]:
        url = redis.url(15, user="app", password=password).replace("rediss:", f"{scheme}:", 1)
        return overlaid(aws_values(cache_redis_aws_url=url), {"redis": {"enableTLS": True}})

    def installation(self, namespace: str, database: str, values: dict[str, object]) -> Installation:
        url = self.postgres.url("modelengine", PASSWORD, database)
        return Installation(
            namespace=namespace, values=values, secrets={DATABASE_SECRET: {"database_url": url}}
        )

    def look(self) -> None:
        """Show what users look at."""
        self.show("get", "mehc", "-A")
        self.show("get", "mehc", "-A", "-o", "wide")
        self.show("describe", "mehc", "-n", "acme-two-behind", "model-engine")

    def break_and_mend(self) -> None:
        """Stop the sound installation's Redis, and start it again."""
        say("stopping the sound installation's Redis …")
        self.redis.stop()
        took = timed(lambda: self.wait_for("acme-sound", "Ready=false"))
        say(f"condition Ready is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        say("starting it again …")
        self.redis.start()
        took = timed(lambda: self.wait_for("acme-sound", "Ready"))
        say(f"condition Ready is True after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        self.show("get", "events", "-n", "acme-sound")

    def stay(self) -> None:
        say("everything stays up until Ctrl-C; in another terminal:")
        print(f"    export KUBECONFIG={self.control_plane.kubeconfig}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})

    def wait_all(self) -> None:
        for installation in self.installations():
            self.control_plane.kubectl(
                "wait", "mehc", installation.name, "-n", installation.namespace,
                "--for=jsonpath={.status.health}", "--timeout=60s",
            )  # fmt: skip

    def wait_for(self, namespace: str, condition: str) -> None:
        self.control_plane.kubectl(
            "wait", "mehc/model-engine", "-n", namespace, f"--for=condition={condition}", "--timeout=90s"
        )

    def show(self, *words: str) -> None:
        print(f"\n$ kubectl {' '.join(words)}", flush=True)
        print(self.control_plane.kubectl(*words), flush=True)


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` took."""
    clock = time.monotonic()
    action()
    return time.monotonic() - clock


if __name__ == "__main__":
    sys.exit(main())
