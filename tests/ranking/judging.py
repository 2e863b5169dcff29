"""All rows staged and judged, once: those that share the cluster as it is together, the others one by one."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import Request, Sources, diagnose
from mehc_checks.modelengine.values import Layer
from mehc_operator.connection import Access, connected
from ranking.installed import LONG, Installed
from ranking.manifests import is_up
from ranking.rows import Row, rows
from ranking.stage import Stage, staged
from testbed import istio
from testbed.helm import Helm
from testbed.waiting import eventually

Reports = dict[str, Report | BaseException]
"""By the name of the row; an error where it could not be staged or judged, which its own test raises."""


def judged_rows() -> Reports:
    with staged() as here:
        table = _Table(here)
        table.lint()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in here.environment.items():
                patch.setenv(name, value)
            table.one_by_one(table.installed(lambda row: row.lacks == "istio"))
            istio.install(here.plane)
            made = table.installed(lambda row: row.lacks != "istio")
            table.judge(table.each(Installed.populate, [each for each in made if not each.row.is_alone]))
            table.one_by_one(each for each in made if each.row.is_alone and not each.row.lacks)
            here.remove_keda()
            table.one_by_one(each for each in made if each.row.lacks == "keda")
        return table.reports


class _Table:
    def __init__(self, here: Stage) -> None:
        self.reports: Reports = {}
        self._here = here
        self._helm = Helm(here.plane)
        self._rows = rows()

    def lint(self) -> None:
        """Judge the rows that are values only, as from a laptop."""
        for row in self._rows:
            if row.lint:
                layer = Layer(source="values.yaml", values=self._here.values(row))
                request = Request(layers=(layer,), inside=False, timeout=LONG)
                _run(self._report(row, request, Sources()))

    def installed(self, wanted: Callable[[Row], bool]) -> list[Installed]:
        """The rows that are wanted, installed and broken."""
        made = [
            Installed(self._here, row, number, self._helm)
            for number, row in enumerate(self._rows)
            if not row.lint and wanted(row)
        ]
        made = self.each(Installed.install, made)
        self._wait_until_up({each.own for each in made if each.row.install == "succeeds"})
        return self.each(Installed.break_, made)

    def _wait_until_up(self, namespaces: set[str]) -> None:
        def waiting() -> list[str]:
            time.sleep(0.3)  # all of the cluster is asked
            return [
                f"{item['metadata']['namespace']}/{item['metadata']['name']}"
                for kind in ("deployments", "statefulsets")
                for item in self._here.plane.api("GET", f"/apis/apps/v1/{kind}")["items"]
                if item["metadata"]["namespace"] in namespaces and not is_up(item)
            ]

        eventually(waiting, lambda names: not names, seconds=300)

    def each(self, do: Callable[[Installed], None], installed: Iterable[Installed]) -> list[Installed]:
        """``do`` it to all of them, several at once; those of which it could be done."""

        def attempt(one: Installed) -> bool:
            try:
                do(one)
            except Exception as error:
                self.reports[one.row.name] = error
                return False
            return True

        given = list(installed)
        with ThreadPoolExecutor(4) as pool:
            return [one for one, done in zip(given, pool.map(attempt, given), strict=True) if done]

    def one_by_one(self, installed: Iterable[Installed]) -> None:
        """Judge each while the cluster is changed as its row says."""
        for one in installed:
            with self._here.changed(one.row.cluster):
                self.judge(self.each(Installed.populate, [one]))

    def judge(self, installed: Iterable[Installed]) -> None:
        _run(self._judge(list(installed)))

    async def _judge(self, installed: list[Installed]) -> None:
        limit = asyncio.Semaphore(4)
        async with connected(Access(kubeconfig=str(self._here.plane.kubeconfig))) as api:
            sources = Sources(cluster=KubernetesCluster(api))

            async def judge(one: Installed) -> None:
                async with limit:
                    await self._report(one.row, one.request(), sources)

            await asyncio.gather(*map(judge, installed))

    async def _report(self, row: Row, request: Request, sources: Sources) -> None:
        try:
            self.reports[row.name] = await diagnose(catalogue().values(), request, sources)
        except Exception as error:
            self.reports[row.name] = error


def _run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread: asyncio.run would take the event loop of this one away from other tests."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
