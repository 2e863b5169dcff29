"""A first look while `make demo` builds the control plane: what needs no cluster, on a real Redis and Prometheus."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":  # run as a file: `testbed` is a package of the folder above
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from demo.stage import FORWARDERS_PORT
from testbed.installation import Tree, overlaid
from testbed.istio_exporter import IstioExporter
from testbed.ports import free_host
from testbed.process import temporary_directory
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.sound import ONPREM
from testbed.waiting import eventually

MEHC = Path(sys.executable).with_name("mehc")


def main() -> int:
    began = time.monotonic()
    file = temporary_directory("first") / "values.yaml"
    checks = ("--only", "RedisReachable", "--only", "PrometheusQueryable", "--inside")
    with ExitStack() as stack:
        exporter = stack.enter_context(IstioExporter({"launch-endpoint-id-1": 2.0}))
        prometheus = stack.enter_context(Prometheus([exporter.address]))
        eventually(lambda: prometheus.query("istio_request_duration_milliseconds_sum"), bool)
        redis = Redis(address=(free_host(FORWARDERS_PORT), FORWARDERS_PORT))
        file.write_text(yaml.safe_dump(values(redis, prometheus)))
        say("values with a pool size as the values reference shows it")
        shown("lint", file)
        say("the same, asked for Redis and Prometheus; Redis is not started")
        shown("check", "-f", file, *checks)
        stack.enter_context(redis)
        say("Redis is started")
        shown("check", "-f", file, *checks)
    say(f"done in {time.monotonic() - began:.1f} s; the cluster of the demo is still being built")
    return 0


def values(redis: Redis, prometheus: Prometheus) -> Tree:
    """Of an installation on premises."""
    infra = {
        "redis_host": redis.host,
        "prometheus_server_address": prometheus.url(),
        "db_engine_pool_size": 10,
    }
    launch = {"cache_redis_onprem_url": redis.url(0)}
    return overlaid(
        ONPREM,
        {
            "redisHost": redis.host,
            "redisPort": redis.port,
            "config": {"values": {"infra": infra, "launch": launch}},
        },
    )


def say(text: str) -> None:
    print(f"\nfirst look: {text}", flush=True)


def shown(command: str, *words: str | Path) -> None:
    print(f"\n$ mehc {command} {' '.join(map(str, words))}", flush=True)
    subprocess.run([MEHC, command, *words], check=False)


if __name__ == "__main__":
    sys.exit(main())
