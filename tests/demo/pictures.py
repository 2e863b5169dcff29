"""Pictures of the status page and of a report, of the demo's installations, into docs/pictures; `make pictures`."""

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":  # run as a file: `testbed` and `demo` are packages of the folder above
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from demo.demo import MEHC, Demo
from mehc_checks.core.clock import now
from mehc_operator.board import Board
from mehc_operator.statuspage import serving
from testbed.browser import chromium
from testbed.healthchecks import GROUP
from testbed.ports import LOOPBACK
from testbed.process import temporary_directory
from testbed.tools import ROOT

PICTURES = ROOT / "docs" / "pictures"
SHOWN = "acme-stuck"
"""The installation whose page is shown."""
IMPATIENT = {"gracePeriod": "0s", "loadingGracePeriod": "0s"}
WIDTH, HEIGHT = 1000, 860


def main() -> int:
    with ExitStack() as stack:
        demo = Demo(stack)
        demo.install()
        demo.explain()
        patch = json.dumps({"spec": {"checks": {"EndpointsReady": {"parameters": IMPATIENT}}}})
        demo.control_plane.kubectl("patch", "mehc/model-engine", "-n", SHOWN, "--type=merge", "-p", patch)
        demo.wait_for(SHOWN, "condition=EndpointsReady=false")
        demo.servers.shared.stop()
        demo.wait_for(SHOWN, "condition=RedisReachable=false")
        report = temporary_directory("report") / "report.html"
        words = ["status", "--kubeconfig", str(demo.control_plane.kubeconfig), "-n", SHOWN, "-o", "html"]
        report.write_text(subprocess.run([MEHC, *words], capture_output=True, text=True, check=False).stdout)
        listed = demo.control_plane.api("GET", f"/apis/{GROUP}/v1alpha1/modelenginehealthchecks")
        asyncio.run(take(listed["items"], report))
    return 0


async def take(resources: list[dict[str, object]], report: Path) -> None:
    """Of what the page shows for ``resources``, and of ``report``, a file."""
    PICTURES.mkdir(exist_ok=True)
    board = Board()
    for each in resources:
        board.observe(each)
    async with serving(LOOPBACK, 0, board, now) as port, chromium() as browser:
        address = f"http://{LOOPBACK}:{port}"
        for name, scheme, url in (
            ("fleet", "light", address),
            ("installation", "light", f"{address}/installations/{SHOWN}/model-engine"),
            ("report", "dark", report.as_uri()),
        ):
            page = await browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            await page.goto(url)
            await page.screenshot(path=PICTURES / f"{name}.png")
            print(f"wrote docs/pictures/{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(main())
