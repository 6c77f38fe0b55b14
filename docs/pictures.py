"""The pictures of docs/study.md: a study in the page that `mimar serve` shows, and the same in optuna-dashboard.

    python docs/pictures.py STUDY.db --dashboard optuna-dashboard

needs mimar[bench], Playwright, a Chromium, and optuna-dashboard (in an environment of its own: --dashboard names it).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parent
WIDE = {"width": 1200, "height": 1060}


@contextmanager
def server(command: Sequence[str], address: str) -> Generator[None]:
    """`command` runs meanwhile and answers at `address`."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(120):
                with suppress(OSError), urllib.request.urlopen(address, timeout=1):
                    break
                time.sleep(0.5)
            yield
        finally:
            process.terminate()


def page_of_mimar(page: Page, study: Path, port: int) -> None:
    """Writes docs/serve.png."""
    address = f"http://127.0.0.1:{port}/"
    with server([sys.executable, "-m", "mimar", "serve", str(study), "--port", str(port)], address):
        page.goto(address)
        page.locator("#front-table .select").first.click()
        page.get_by_text("Live: grows with the study.").wait_for()
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=DOCS / "serve.png")


def page_of_optuna(page: Page, study: Path, dashboard: str, port: int) -> None:
    """Writes docs/optuna.png."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/optuna.db"
        subprocess.run([sys.executable, "-m", "mimar", "export", str(study), storage, "--to", "optuna"], check=True)
        address = f"http://127.0.0.1:{port}/"
        with server([dashboard, storage, "--port", str(port)], address):
            page.goto(f"{address}dashboard/studies/1")
            page.get_by_text("Pareto Front").first.wait_for()
            page.locator(".main-svg").first.wait_for()
            page.wait_for_timeout(3000)  # its plots come one by one
            page.screenshot(path=DOCS / "optuna.png")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--dashboard", default="optuna-dashboard")
    parser.add_argument("--port", type=int, default=8790, help="The first of two.")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE)
        page_of_mimar(page, options.study, options.port)
        page_of_optuna(page, options.study, options.dashboard, options.port + 1)


if __name__ == "__main__":
    main()
