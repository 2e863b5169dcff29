"""Debian's chromium, without a screen, driven by playwright."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

PROGRAM: Final = shutil.which("chromium-headless-shell") or ""
MISSING: Final = "" if PROGRAM else "chromium-headless-shell is not installed (make setup)"
LIMIT: Final = 120_000
"""Milliseconds that anything may take."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser. It has no sandbox of its own: pages are ours, and root cannot make one."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=PROGRAM, args=["--disable-dev-shm-usage"], chromium_sandbox=False, timeout=LIMIT
        )
        try:
            yield browser
        finally:
            await browser.close()
