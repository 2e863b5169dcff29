"""Pictures of the status page and of a report, of the demo's installations, into docs/pictures; `make pictures`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

if __name__ == "__main__":  # run as a file: `testbed` and `demo` are packages of the folder above
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from playwright.async_api import Browser

from demo.demo import MEHC, Demo
from mehc_checks.core.clock import now
from mehc_operator.board import Board
from mehc_operator.statuspage import serving
from testbed.browser import chromium
from testbed.healthchecks import GROUP
from testbed.installation import Tree
from testbed.ports import LOOPBACK
from testbed.process import temporary_directory
from testbed.tools import ROOT

PICTURES = ROOT / "docs" / "pictures"
SHOWN = "acme-stuck"
"""The installation whose page is shown."""
IMPATIENT = {"gracePeriod": "0s", "loadingGracePeriod": "0s"}
HEIGHT = 860


def main() -> int:
    with ExitStack() as stack:
        demo = Demo(stack)
        demo.install()
        demo.explain()
        patch = json.dumps({"spec": {"checks": {"EndpointsReady": {"parameters": IMPATIENT}}}})
        demo.control_plane.kubectl("patch", "mehc/model-engine", "-n", SHOWN, "--type=merge", "-p", patch)
        demo.wait_for(SHOWN, "condition=EndpointsReady=false")
        before = resources(demo)
        demo.servers.shared.stop()
        demo.wait_for(SHOWN, "condition=RedisReachable=false")
        report = temporary_directory("report") / "report.html"
        words = ["status", "--kubeconfig", str(demo.control_plane.kubeconfig), "-n", SHOWN, "-o", "html"]
        report.write_text(subprocess.run([MEHC, *words], capture_output=True, text=True, check=False).stdout)
        asyncio.run(take(before, resources(demo), report))
    return 0


def resources(demo: Demo) -> list[Tree]:
    """Every ModelEngineHealthCheck, as it is now."""
    listed = demo.control_plane.api("GET", f"/apis/{GROUP}/v1alpha1/modelenginehealthchecks")
    return list(listed["items"])


async def take(before: list[Tree], after: list[Tree], report: Path) -> None:
    """Of the fleet ``before``, of one installation ``after``, and of ``report``, a file."""
    PICTURES.mkdir(exist_ok=True)
    async with chromium() as browser:
        await shoot(browser, "report", report.as_uri(), dark=True)
        async with showing(before) as address:
            await shoot(browser, "fleet", address, width=1200)
        async with showing(after) as address:
            await shoot(browser, "installation", f"{address}/installations/{SHOWN}/model-engine")


@asynccontextmanager
async def showing(resources: list[Tree]) -> AsyncIterator[str]:
    """The address of a status page of these."""
    board = Board()
    for each in resources:
        board.observe(each)
    async with serving(LOOPBACK, 0, board, now) as port:
        yield f"http://{LOOPBACK}:{port}"


async def shoot(browser: Browser, name: str, url: str, *, width: int = 1000, dark: bool = False) -> None:
    page = await browser.new_page(
        viewport={"width": width, "height": HEIGHT}, color_scheme="dark" if dark else "light"
    )
    await page.goto(url)
    await page.screenshot(path=PICTURES / f"{name}.png")
    print(f"wrote docs/pictures/{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(main())
