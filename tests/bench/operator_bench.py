"""What the operator costs, by one resource and by hundreds."""

import asyncio
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psutil
import psycopg
import redis.asyncio

from bench.judged import Judged
from bench.rows import Row, cpu_seconds, median_of
from mehc_checks.clients.kubernetes.texts import Secret
from mehc_checks.engine.check import catalogue
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.installation import DATABASE_SECRET, Installation, aws_values, only, overlaid
from testbed.judging import reported
from testbed.modelengine import migrate
from testbed.operatorprocess import Operator
from testbed.postgres import Postgres
from testbed.redis import Redis

STAGED = ("DatabaseMigrated", "RedisReachable")
"""The checks that are measured; the others are disabled."""
RESOURCE = "/apis/health.modelengine.io/v1alpha1"


class Bench:
    """The components, and the measurements on them."""

    def __init__(self, stack: ExitStack, control_plane: ControlPlane) -> None:
        start = stack.enter_context
        with ThreadPoolExecutor() as pool:
            postgres = pool.submit(start, Postgres(max_connections=1000))
            server = pool.submit(start, Redis())
            self.control_plane, self.postgres, self.redis = control_plane, postgres.result(), server.result()
        self.black_hole = start(ports.black_hole())
        self.postgres.create_role("modelengine", "password")
        self.postgres.create_database("sound", owner="modelengine")
        migrate(self.postgres, "sound", revision="head")
        self.operator = start(Operator(self.control_plane))
        self.process = psutil.Process(self.operator.pid)

    def rows(self) -> Iterator[Row]:
        yield from asyncio.run(self.one_pass())
        for count, budget in ((1, 1.0), (100, 2.0), (500, 8.0)):
            yield from self.many(count, budget)
        yield from self.beside_a_black_hole()
        yield from self.at_rest()
        self.operator.stop()
        yield from self.takeover()

    async def one_pass(self) -> list[Row]:
        """A full pass in this process, against the bare clients."""
        values = Values.merged([Layer(source="bench", values=self.values())])
        url = self.postgres.url("modelengine", "password", "sound")

        async def whole() -> None:
            context = Context(values=values, cluster=_OneSecret(url), namespace="bench")
            report = await reported([catalogue()[name] for name in STAGED], context)
            assert report.checks

        async def database() -> None:
            async with await psycopg.AsyncConnection.connect(url) as connection:
                await connection.execute("SELECT version_num FROM public.alembic_version_model_engine")

        async def cache() -> None:
            client = redis.asyncio.Redis.from_url(self.redis.url())
            await client.ping()
            await client.aclose()

        slowest = max(await median_of(database), await median_of(cache))

        async def sequential() -> None:
            await database()
            await cache()

        async def together() -> None:
            await asyncio.gather(database(), cache())

        took = await median_of(whole)
        return [
            Row(what="one pass / slowest bare client", measured=took / slowest, unit="x", budget=1.3),
            Row(
                what="one pass / bare clients in turn", measured=took / await median_of(sequential), unit="x"
            ),
            Row(what="one pass / bare clients together", measured=took / await median_of(together), unit="x"),
            Row(what="one pass", measured=took * 1000, unit="ms"),
        ]

    def many(self, count: int, budget: float) -> Iterator[Row]:
        """``count`` resources applied at once; then one pass over all that finds nothing new."""
        namespace = f"bench-{count}"
        latencies = self.apply(namespace, [self.values()] * count)
        yield Row(
            what=f"apply → complete status, p50 of {count}",
            measured=statistics.median(latencies),
            unit="s",
            budget=budget,
        )
        if count > 1:
            yield Row(what=f"apply → complete status, slowest of {count}", measured=max(latencies), unit="s")
        yield from self.unchanged(namespace, count)
        self.control_plane.kubectl("delete", "mehc", "--all", "-n", namespace, timeout=180)

    def unchanged(self, namespace: str, count: int) -> Iterator[Row]:
        """What a pass costs that finds nothing new, per resource."""
        before, cpu = self.requests(), cpu_seconds(self.process)
        self.control_plane.kubectl(
            "annotate", "mehc", "--all", "-n", namespace, "health.modelengine.io/probe-now=again", timeout=180
        )
        self.settled()
        spent = cpu_seconds(self.process) - cpu
        after = self.requests()
        writes, reads = (
            sum(after.get(verb, 0) - before.get(verb, 0) for verb in verbs)
            for verbs in (("PATCH/status", "POST/events"), ("GET/secrets", "GET/configmaps"))
        )
        yield Row(what=f"writes of an unchanged pass, {count} resources", measured=writes, unit="", budget=0)
        yield Row(what=f"reads per resource and pass, {count} resources", measured=reads / count, unit="")
        if count > 1:
            yield Row(
                what=f"CPU per resource and pass, {count} resources",
                measured=spent / count * 1000,
                unit="ms",
                budget=15,
            )
        yield Row(
            what=f"resident memory, {count} resources",
            measured=self.process.memory_info().rss / 2**20,
            unit="MiB",
            budget=110,
        )

    def beside_a_black_hole(self) -> Iterator[Row]:
        """99 sound resources, alone and beside one whose Redis never answers."""
        sound = [self.values()] * 99
        alone = statistics.median(self.apply("bench-alone", sound))
        host, port = self.black_hole
        dead = overlaid(
            self.values(),
            {"config": {"values": {"launch": {"cache_redis_aws_url": f"redis://{host}:{port}/0"}}}},
        )
        beside = statistics.median(self.apply("bench-beside", [dead, *sound])[1:])
        yield Row(
            what="99 resources beside a black hole / alone, p50",
            measured=beside / alone,
            unit="x",
            budget=1.3,
        )
        for namespace in ("bench-alone", "bench-beside"):
            self.control_plane.kubectl("delete", "mehc", "--all", "-n", namespace, timeout=180)

    def at_rest(self) -> Iterator[Row]:
        """What ten resources cost that nothing happens to, at the default interval; from a minute to an hour."""
        self.apply("bench-rest", [self.values()] * 10)
        before, cpu, clock = self.own_requests(), cpu_seconds(self.process), time.monotonic()
        time.sleep(60)
        per_hour = 3600 / (time.monotonic() - clock)
        spent = cpu_seconds(self.process) - cpu
        after = self.own_requests()
        yield Row(
            what="API requests at rest, 10 resources",
            measured=(sum(after) - sum(before)) * per_hour,
            unit="/h",
        )
        yield Row(
            what="API writes at rest, 10 resources, with heartbeats",
            measured=(after[1] - before[1]) * per_hour,
            unit="/h",
        )
        yield Row(what="CPU at rest, 10 resources", measured=spent * per_hour, unit="s/h")
        self.control_plane.kubectl("delete", "mehc", "--all", "-n", "bench-rest", timeout=180)

    def own_requests(self) -> tuple[int, int]:
        """Reads and writes of the Kubernetes API by the operator's own count."""
        text = self.operator.get("/metrics")[1]
        counts = [0, 0]
        for verb, number in re.findall(
            r'^mehc_api_requests_total\{.*verb="(\w+)".*\} (\S+)$', text, re.MULTILINE
        ):
            counts[verb not in ("get", "list", "watch")] += int(float(number))
        return counts[0], counts[1]

    def takeover(self) -> Iterator[Row]:
        """From the end of the leader to the first pass of the other, killed and asked to stop."""
        namespace = "bench-lead"
        election = ("--leader-elect", "--leader-elect-resource-namespace", namespace)
        for what, budget in (("kill -9", 15.0), ("stop", None)):
            with ExitStack() as stack:
                candidates = {}
                for name in ("one", "two"):
                    operator = Operator(
                        self.control_plane, *election, namespaces=[namespace], environment={"POD_NAME": name}
                    )
                    candidates[name] = stack.enter_context(operator)
                    if name == "one":
                        self.process = psutil.Process(operator.pid)
                        self.apply(namespace, [self.values()])
                time.sleep(2)
                clock = time.monotonic()
                (candidates["one"].kill if what == "kill -9" else candidates["one"].stop)()
                while not any("trigger" in line for line in candidates["two"].log_lines()):
                    time.sleep(0.02)
                yield Row(
                    what=f"{what} of the leader → a pass of the other",
                    measured=time.monotonic() - clock,
                    unit="s",
                    budget=budget,
                )
            self.control_plane.kubectl("delete", "mehc,lease", "--all", "-n", namespace, timeout=180)

    def values(self) -> dict[str, Any]:
        return aws_values(cache_redis_aws_url=self.redis.url())

    def apply(
        self, namespace: str, each: list[dict[str, Any]], *, spec: Mapping[str, Any] | None = None
    ) -> list[float]:
        """Apply one resource for each values; seconds from each one's creation to its complete status."""
        url = self.postgres.url("modelengine", "password", "sound")
        installation = Installation(
            namespace=namespace, values={}, secrets={DATABASE_SECRET: {"database_url": url}}
        )
        others, template = installation.surroundings(), installation.resource()
        self.control_plane.apply(others)
        asked: dict[str, float] = {}
        with Judged(self.control_plane, namespace) as judged:
            for index, values in enumerate(each):
                name = f"r{index:03}"
                manifest = {
                    **template,
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"values": values, **only(*STAGED), **(spec or {})},
                }
                asked[name] = time.monotonic()
                self.control_plane.api(
                    "POST", f"{RESOURCE}/namespaces/{namespace}/modelenginehealthchecks", manifest
                )
            seen = judged.wait(set(asked), seconds=120)
        self.settled()
        return [seen[name] - began for name, began in asked.items()]

    def settled(self) -> None:
        """Wait until the operator has been idle for a second."""
        idle = 0
        while idle < 4:
            before = cpu_seconds(self.process)
            time.sleep(0.25)
            idle = idle + 1 if cpu_seconds(self.process) - before < 0.02 else 0

    def requests(self) -> dict[str, int]:
        """Requests that the API server has served, by "VERB/resource"."""
        text = self.control_plane.kubectl("get", "--raw", "/metrics")
        counts: dict[str, int] = {}
        for labels, number in re.findall(r"^apiserver_request_total\{(.*?)\} (\S+)$", text, re.MULTILINE):
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            part = label.get("subresource") or label.get("resource", "")
            key = f"{label.get('verb', '')}/{part}"
            counts[key] = counts.get(key, 0) + int(float(number))
        return counts


class _OneSecret:
    """A cluster's stand-in for timing alone: the pass's API read is not what is measured here."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def secret(self, namespace: str, name: str) -> Secret | None:
        return Secret(name=name, namespace=namespace, type="Opaque", data={"database_url": self._url})

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        return None

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        return None
