"""The page in a real headless browser: quiet console, no foreign script, choosing and sorting from the keyboard's
buttons."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from mimar.objectives import front_trials
from mimar.report import describe_architecture, render_html

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium"),
]

DRIVER = """
const told = {};
const pick = (selector) => document.querySelector(selector);
const drawn = () => document.querySelectorAll(".main-svg").length;
const column = () => [...document.querySelectorAll("#front-table tbody tr")].map((row) => row.dataset.id);
(async () => {
  told.plots = drawn();
  pick(".sort").focus();
  told.focus = document.activeElement === pick(".sort");
  pick("thead th:nth-child(3) .sort").click();
  told.sorted = column();
  told.direction = pick("thead th:nth-child(3)").getAttribute("aria-sort");
  const before = Number(pick("td.hours").dataset.value);
  pick("#tokens").value = "20";
  pick("#tokens").dispatchEvent(new Event("input"));
  told.grown = Number(pick("td.hours").dataset.value) / before;
  pick("#front-table .select").click();
  told.chosen = pick("#selected h3").textContent;
  told.command = pick("#selected code").textContent;
  told.pressed = document.querySelectorAll('.select[aria-pressed="true"]').length;
  pick("#x-axis").value = "3";
  pick("#x-axis").dispatchEvent(new Event("change"));
  await new Promise((go) => setTimeout(go, 300));
  told.title = pick("#front-plot .xtitle").textContent;
  told.rings = pick("#front-plot").data.filter((trace) => trace.name === "selected").length;
  told.lines = pick("#parallel-plot").data.length;
  told.boxes = document.querySelectorAll("#parallel-axes input").length;
  told.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  told.upload = document.querySelectorAll('[data-title*="loud"], a[href*="plotly"]').length;
  told.owned = String(window.owned);
  told.images = document.querySelectorAll("img, iframe, object, [onfocus], [onerror]").length;
  pick("#front-plot").emit("plotly_click", { points: [{ customdata: 1 }] });
  told.clicked = pick("#selected h3").textContent;
  const answer = document.createElement("pre");
  answer.id = "told";
  answer.textContent = JSON.stringify(told);
  document.body.append(answer);
})();
"""


class Told(HTMLParser):
    """The driver's answer, from the browser's document."""

    def __init__(self, document):
        super().__init__()
        self.inside, self.words = False, ""
        self.feed(document)

    def handle_starttag(self, tag, attributes):
        self.inside = dict(attributes).get("id") == "told"

    def handle_data(self, data):
        self.words += data if self.inside else ""

    def handle_endtag(self, tag):
        self.inside = False


@pytest.fixture
def browse(tmp_path):
    """Opens a study's page with the driver let in by its hash; returns what it told and the console's lines."""

    def open_page(data, *flags):
        digest = base64.b64encode(hashlib.sha256(DRIVER.encode()).digest()).decode()
        markup = render_html(data, training_tokens=2e9).replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        path = tmp_path / "report.html"
        path.write_text(markup.replace("</body>", f"<script>{DRIVER}</script></body>"), encoding="utf-8")
        quiet = "--disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
        command = [
            BROWSER, "--headless", "--no-sandbox", *quiet.split(), "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", *flags, "--dump-dom",
            path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        console = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
        return json.loads(Told(done.stdout.decode()).words), console

    return open_page


def test_plots_table_and_choice_work_together(data, browse):
    told, console = browse(data, "--window-size=1280,1000")
    rows = sorted(front_trials(data.trials, data.objectives), key=lambda row: row.metrics["memory_bytes"])
    assert console == []
    assert told["plots"] >= 4
    assert told["focus"]
    assert told["sorted"] == [str(row.id) for row in rows]
    assert told["direction"] == "ascending"
    assert told["grown"] == pytest.approx(10)
    assert told["chosen"].startswith(f"#{rows[0].id}: {describe_architecture(rows[0].architecture)}")
    assert told["command"] == f"mimar export '{data.name}#{rows[0].id}' --to hf DIR"
    assert told["clicked"].startswith(f"#{front_trials(data.trials, data.objectives)[1].id}: ")
    assert (told["pressed"], told["rings"], told["lines"]) == (1, 1, 3)
    assert told["title"] == "parameters (M)"
    assert told["boxes"] == 10
    assert told["upload"] == 0


@pytest.mark.parametrize("flags", [("--window-size=500,900",), ("--blink-settings=preferredColorScheme=0",)])
def test_phone_width_and_dark(data, browse, flags):
    told, console = browse(data, *flags)
    assert console == []
    assert told["overflow"] == 0
    assert told["plots"] >= 4


def test_hostile_text_runs_no_script(hostile, browse):
    told, console = browse(hostile)
    assert told["owned"] == "undefined"
    assert told["images"] == 0
    assert not [line for line in console if re.search("error|refused|violat", line, re.IGNORECASE)]
    assert told["plots"] >= 4
