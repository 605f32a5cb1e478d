import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

REQUIRED = "POLYSHARP_NEEDS_BROWSER"  # set where a browser that cannot be had is a failure: CI
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "chromium is absent; on Debian: apt-get install chromium"
        (pytest.fail if REQUIRED in os.environ else pytest.skip)(reason)
    with sync_playwright() as playwright:
        # Without its sandbox, as root has none; what is shown here is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
