"""The pages in a real browser: what is seen, filtered, copied and updated, by mouse, by keyboard and without script."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, expect

from mehc_checks.core.clock import now
from mehc_checks.engine.check import catalogue
from mehc_operator import pages
from mehc_operator.board import Board
from mehc_operator.statuspage import serving
from mehc_operator.stored import Resource
from testbed.browser import LIMIT, MISSING, chromium
from testbed.ports import LOOPBACK
from testbed.stored import HOSTILE, failing, healthy, resource

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
expect.set_options(timeout=LIMIT)

CONTRAST = 4.5
"""Of text and what is behind it, at least: WCAG AA."""
WEAK_TEXTS = """
least => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const [r, g, b] = numbers(color).map(part => part / 255).map(part =>
      part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (numbers(color).length === 3 || numbers(color)[3] > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.matches("script, .hidden, .skip")) continue;
    const both = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const ratio = (both[0] + 0.05) / (both[1] + 0.05);
    if (ratio < least) weak.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return weak;
}
"""
NAMELESS = """
() => [...document.querySelectorAll("a, button, select, input, svg[role], [role=region], nav")].filter(element => {
  const label = element.getAttribute("aria-label")
    || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent
    || (element.labels && element.labels[0] && element.labels[0].textContent)
    || (element.matches("a, button") && element.textContent);
  return !(label || "").trim();
}).map(element => element.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with AsyncExitStack() as stack:
        try:
            browser = await stack.enter_async_context(chromium())
        except Error as error:  # a container may forbid what it needs
            pytest.skip(f"chromium does not start here: {error.message.splitlines()[0]}")
        yield browser


@pytest.fixture
def board() -> Board:
    board = Board()
    board.observe(resource("acme", "broken", **failing(now())))
    board.observe(resource("acme", "sound", **healthy(now())))
    board.observe(resource("other", "sound", **healthy(now())))
    return board


@pytest.fixture
async def address(board: Board) -> AsyncIterator[str]:
    async with serving(LOOPBACK, 0, board, now) as port:
        yield f"http://{LOOPBACK}:{port}/"


async def opened(context: BrowserContext, address: str) -> Page:
    """A page at ``address``. What its policy forbids, and what fails in it, is in ``told(page)``."""
    page = await context.new_page()
    page.set_default_timeout(LIMIT)
    TOLD[page] = []
    page.on("console", lambda message: TOLD[page].append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: TOLD[page].append(str(error)))
    await page.goto(address)
    return page


TOLD: dict[Page, list[str]] = {}


async def test_a_fix_is_two_clicks_away(browser: Browser, address: str) -> None:
    async with await browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = await opened(context, address)
        await expect(page).to_have_title("1 Failing, 2 Healthy")
        await page.get_by_role("link", name="broken in acme").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("acme/broken")
        await expect(page.get_by_role("status")).to_have_text("Live")  # said before what the button says
        causes = page.get_by_role("region", name="Root causes")
        await expect(causes.get_by_role("heading", level=3)).to_contain_text(
            "RedisReachable/ConnectionRefused"
        )
        await causes.get_by_role("button", name="Copy the fix: Start Redis").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == "Start Redis, then run kubectl get pods -n acme."
        for name in ("Stuck endpoints (1)", "Checks", "Mutes", "History (UTC)"):
            await expect(page.get_by_role("heading", level=2, name=name)).to_be_visible()
        await expect(page.get_by_role("img", name="RedisReachable, the last 24 hours")).to_be_visible()
        await page.get_by_role("navigation", name="Checks").get_by_role("link", name="RedisReachable").click()
        await page.get_by_role("link", name="root cause 1").click()
        assert page.url.endswith("#cause-1")
        assert TOLD[page] == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
async def test_the_filter(browser: Browser, address: str, script: bool) -> None:
    async with await browser.new_context(java_script_enabled=script) as context:
        page = await opened(context, address)
        rows = page.get_by_role("table").get_by_role("link")
        await expect(rows).to_have_count(3)
        await page.get_by_role("combobox", name="Health").select_option("Healthy")
        await page.get_by_role("combobox", name="Namespace").select_option("other")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(1)
        assert page.url.endswith("/?health=Healthy&namespace=other")
        await page.get_by_role("link", name="Show all").click()
        await page.get_by_role("navigation", name="Health").get_by_role("link", name="1 Failing").click()
        await expect(rows).to_have_text(["broken in acme"])
        assert TOLD[page] == []


async def test_it_updates_itself(browser: Browser, address: str, board: Board) -> None:
    async with await browser.new_context() as context:
        page = await opened(context, f"{address}installations/acme/sound")
        await expect(page.get_by_role("status")).to_have_text("Live")
        await page.get_by_role("link", name="RedisReachable").focus()
        board.observe(resource("acme", "sound", version=2, **failing(now())))
        await expect(page.get_by_text("Failing", exact=True)).to_be_visible()
        await expect(page).to_have_title("Failing: acme/sound")
        await expect(page.get_by_role("button", name="Copy the fix: Start Redis")).to_be_visible()
        board.forget("acme-sound")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
        assert [line for line in TOLD[page] if "404" not in line] == []


async def test_the_keyboard_reaches_all_in_order(browser: Browser, address: str) -> None:
    async with await browser.new_context() as context:
        page = await opened(context, f"{address}installations/acme/broken")
        await expect(page.get_by_role("status")).to_have_text("Live")
        seen = []
        for _ in range(11):
            await page.keyboard.press("Tab")
            seen.append(
                await page.evaluate(
                    "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
                )
            )
        assert seen[:3] == ["Skip to the content", "mehc", "All installations"]
        assert [each.partition(": ")[2] for each in seen[3:8]] == [
            *("ConfigValid", "DatabaseMigrated", "EndpointsReady", "ObjectStoreReachable", "RedisReachable")
        ]
        assert seen[8].startswith("Copy the fix: ")
        assert seen[9:] == ["EndpointsReady", "Documentation of ConnectionRefused"]


@pytest.mark.parametrize("path", ["", "installations/acme/broken", "installations/acme/none"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_is_named_and_can_be_read(browser: Browser, address: str, path: str, scheme: str) -> None:
    async with await browser.new_context(color_scheme="dark" if scheme == "dark" else "light") as context:
        page = await opened(context, f"{address}{path}")
        assert await page.evaluate(WEAK_TEXTS, CONTRAST) == []
        assert await page.evaluate(NAMELESS) == []
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [1024, 1280])
async def test_the_fleet_fits_a_common_screen(
    browser: Browser, address: str, board: Board, width: int
) -> None:
    status = {**failing(now()), "cause": "ObjectStoreReachable/StoreNotEvaluated"}
    board.observe(resource("acme-never-migrated", "model-engine", **status))
    async with await browser.new_context(viewport={"width": width, "height": 700}) as context:
        page = await opened(context, address)
        table = page.get_by_role("region", name="Installations")
        assert await table.evaluate("box => box.scrollWidth - box.clientWidth") == 0


@pytest.mark.parametrize("path", ["", "installations/acme/broken"])
async def test_a_narrow_screen_scrolls_one_way(browser: Browser, address: str, path: str) -> None:
    async with await browser.new_context(viewport={"width": 360, "height": 700}) as context:
        page = await opened(context, f"{address}{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_the_file_runs_nothing_of_others(browser: Browser, tmp_path: Path) -> None:
    """The page as a file: no server, no network, and what a component says stays text."""
    status = failing(message=HOSTILE)
    status["rootCauses"][0]["docs"] = "javascript:alert(1)"
    path = tmp_path / "status.html"
    path.write_text(pages.page(Resource.of(resource(**status)), catalogue(), now()))
    async with await browser.new_context(offline=True) as context:
        page = await opened(context, path.as_uri())
        await expect(page).to_have_title("Failing: acme/model-engine")
        await expect(page.get_by_role("region", name="Root causes")).to_contain_text(HOSTILE)
        await page.get_by_role("region", name="Root causes").get_by_role("button").click()
        await expect(page.get_by_role("status")).not_to_be_empty()
        await page.emulate_media(media="print")
        await expect(page.get_by_role("button")).to_have_count(0)
        await expect(page.get_by_role("navigation")).to_have_count(0)
        assert TOLD[page] == []
