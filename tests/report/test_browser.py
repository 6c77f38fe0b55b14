"""The page as a reader meets it: a real headless browser with a mouse, a finger, a keyboard, and an audit of what a
screen reader is told."""

import re
from dataclasses import replace

import pytest

from mimar.objectives import front_trials
from mimar.report import describe_architecture, render_html

pytestmark = pytest.mark.slow

ORIGIN = "http://localhost:9"
"""Where the page seems to lie: nothing listens there, and only what `opened` answers is ever answered."""

PLACE = """([plot, trace, point]) => {
  const shown = document.getElementById(plot).data.findIndex((each) => each.name === trace);
  const marks = document.querySelectorAll(`#${plot} .scatterlayer .trace`)[shown].querySelectorAll("path.point");
  marks[point].scrollIntoView({ block: "center" });
  const { x, y, width, height } = marks[point].getBoundingClientRect();
  return [x + width / 2, y + height / 2];
}"""
"""In the page: where on the screen a point of a scatter plot lies."""

VERTEX = """() => {
  const plot = document.getElementById("parallel-plot");
  plot.scrollIntoView({ block: "center" });
  const { xaxis, yaxis } = plot._fullLayout;
  const front = plot.data.find((each) => each.name === "Pareto front");
  const bends = front.x.map((_, k) => k).filter((k) => front.x[k] !== null && front.y[k] !== null)
    .map((k) => ({ x: xaxis.d2p(front.x[k]), y: yaxis.d2p(front.y[k]), index: front.customdata[k] }));
  const gap = (a) => Math.min(...bends.filter((b) => b.index !== a.index).map((b) => Math.hypot(b.x - a.x, b.y - a.y)));
  const lone = bends.reduce((best, each) => (gap(each) > gap(best) ? each : best));
  const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
  return [box.x + lone.x, box.y + lone.y, lone.index];
}"""
"""In the page: the bend of the front's lines in the parallel plot that lies farthest from all other lines' bends, and
which architecture it stands for."""

STEP = """() => {
  const plot = document.getElementById("hypervolume-plot");
  plot.scrollIntoView({ block: "center" });
  const { x, y, customdata } = plot.data[0];
  const k = customdata.findLastIndex((index) => index !== null);
  const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  return [box.x + xaxis.d2p(x[k]), box.y + yaxis.d2p(y[k]), customdata[k]];
}"""
"""In the page: the last step of the hypervolume that a drawn architecture made, and which one that is."""

CHOSEN = """() => ({
  panel: document.querySelector("#selected h3").textContent,
  ring: document.getElementById("front-plot").data.filter((each) => each.name === "selected").map((t) => t.customdata),
  line: document.getElementById("parallel-plot").data.filter((each) => each.name === "selected").length,
  evaluations: ["hypervolume-plot", "shares-plot"].map((id) => document.getElementById(id).layout.shapes[0].x0),
  pressed: [...document.querySelectorAll('.select[aria-pressed="true"]')].map((button) => Number(button.dataset.id)),
})"""
"""In the page: what each plot, the panel and the table show as chosen."""


@pytest.fixture
def opened(browser):
    """Opens a study's page: data, options of the context → page; its console and whatever it asked for are kept."""
    contexts = []

    def open_page(data, *, granted=(), **options):
        contexts.append(context := browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options}))
        context.grant_permissions(list(granted), origin=ORIGIN)
        page = context.new_page()
        page.console, page.asked = [], []
        page.on("console", lambda message: page.console.append(message.text))
        page.on("pageerror", lambda error: page.console.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        markup = render_html(data, training_tokens=2e9)
        page.route("**/*", lambda route: route.abort())
        page.route(f"{ORIGIN}/", lambda route: route.fulfill(body=markup, content_type="text/html"))
        page.goto(f"{ORIGIN}/")
        return page

    yield open_page
    for context in contexts:
        context.close()


def members(data):
    return front_trials(data.trials, data.objectives)


def test_a_file_opens_offline_without_a_word_on_the_console(data, browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_html(data, training_tokens=2e9), encoding="utf-8")
    context = browser.new_context(offline=True)
    page, told, asked = context.new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.locator(".main-svg").count() >= 4
    assert page.locator('[data-title*="loud"], a[href*="plotly"]').count() == 0
    context.close()
    assert told == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def test_hovering_a_point_shows_the_architecture_and_its_values(data, opened):
    page = opened(data)
    page.mouse.move(*page.evaluate(PLACE, ["front-plot", "Pareto front", 0]))
    shown = page.locator("#front-plot .hoverlayer").text_content(timeout=5000)
    trial = next(each for each in members(data) if f"#{each.id} by " in shown)
    words = re.sub(r"\s", "", shown)
    assert re.sub(r"\s", "", describe_architecture(trial.architecture)) in words
    assert re.search(r"parameters\(M\):[\d.]+", words)
    assert re.search(r"memory\(MB\):[\d.]+", words)
    assert page.console == []


def shows_everywhere(page, data, trial):
    """`trial` is what every plot, the panel and the table show as chosen."""
    chosen = page.evaluate(CHOSEN)
    index = members(data).index(trial)
    assert chosen["panel"] == f"#{trial.id}: {describe_architecture(trial.architecture)}"
    assert chosen["ring"] == [[index]]
    assert chosen["line"] == 1
    assert len(set(chosen["evaluations"])) == 1
    assert f"evaluation {chosen['evaluations'][0]}," in page.locator("#selected p").text_content()
    assert chosen["pressed"] == [trial.id]


def test_clicking_a_point_or_a_line_selects_it_everywhere(data, opened):
    page = opened(data)
    page.mouse.click(*page.evaluate(PLACE, ["front-plot", "Pareto front", 2]))
    page.wait_for_selector("#selected h3")
    shows_everywhere(page, data, trial_of(page, data))
    first = page.locator("#selected h3").text_content()
    x, y, index = page.evaluate(VERTEX)
    page.mouse.click(x, y)
    page.wait_for_function("(old) => document.querySelector('#selected h3').textContent !== old", arg=first)
    assert trial_of(page, data) == members(data)[index]
    shows_everywhere(page, data, members(data)[index])
    assert page.console == []


def test_a_step_of_the_hypervolume_is_told_and_selected_too(data, opened):
    page = opened(data)
    x, y, index = page.evaluate(STEP)
    page.mouse.move(x, y)
    number = page.evaluate("(k) => JSON.parse(document.getElementById('study-data').textContent).ids[k]", index)
    assert f"#{number} by " in page.locator("#hypervolume-plot .hoverlayer").text_content(timeout=5000)
    page.mouse.click(x, y)
    page.wait_for_selector("#selected h3")
    assert trial_of(page, data).id == number
    assert page.console == []


def test_what_the_reader_zoomed_stays_when_a_point_is_selected(data, opened):
    page = opened(data)
    shown = "[...document.getElementById('front-plot').layout.xaxis.range]"
    whole, box = page.evaluate(shown), page.locator("#front-plot .nsewdrag").first.bounding_box()
    corner = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(corner[0] + box["width"] / 2, corner[1] + box["height"] / 2, steps=5)
    page.mouse.up()
    page.wait_for_function(f"(whole) => {shown}[0] !== whole[0]", arg=whole)
    zoomed = page.evaluate(shown)
    page.locator("#front-table .select").first.click()
    page.wait_for_selector("#selected h3")
    assert page.evaluate(shown) == zoomed
    page.locator("#x-axis").select_option("3")
    page.wait_for_function("document.querySelector('#front-plot .xtitle').textContent === 'parameters (M)'")
    assert page.evaluate(shown) != zoomed


def trial_of(page, data):
    number = int(re.match(r"#(\d+):", page.locator("#selected h3").text_content())[1])
    return next(trial for trial in data.trials if trial.id == number)


def test_a_finger_selects_on_a_phone_that_never_scrolls_sideways(data, opened):
    page = opened(data, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.touchscreen.tap(*page.evaluate(PLACE, ["front-plot", "Pareto front", 1]))
    page.wait_for_selector("#selected h3")
    shows_everywhere(page, data, trial_of(page, data))
    assert page.console == []


def test_the_button_copies_the_export_command(data, opened):
    page = opened(data, granted=["clipboard-read", "clipboard-write"])
    row = page.locator("#front-table tbody tr").first
    number = row.get_attribute("data-id")
    row.get_by_role("button", name="Copy").click()
    command = f"mimar export '{data.name}#{number}' --to hf DIR"
    page.get_by_text(f"Copied: {command}").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_a_clipboard_that_is_kept_from_the_page_shows_the_command_instead(data, opened):
    page = opened(data)
    page.evaluate(
        "() => { navigator.clipboard.writeText = async () => { throw new DOMException('', 'NotAllowedError'); }; }"
    )
    page.locator("#front-table tbody tr").first.get_by_role("button", name="Copy").click()
    page.get_by_text("Copy this by hand (NotAllowedError): mimar export ").wait_for()


def test_sorting_training_cost_and_axes_follow_the_controls(data, opened):
    page = opened(data)
    page.locator("#front-table th:nth-child(3) .sort").click()
    rows = sorted(members(data), key=lambda row: row.metrics["memory_bytes"])
    shown = page.locator("#front-table tbody tr").evaluate_all("(rows) => rows.map((row) => Number(row.dataset.id))")
    assert shown == [row.id for row in rows]
    assert page.locator("#front-table th:nth-child(3)").get_attribute("aria-sort") == "ascending"
    hours = page.locator("td.hours").first
    before = float(hours.get_attribute("data-value"))
    page.locator("#tokens").fill("20")
    assert float(hours.get_attribute("data-value")) / before == pytest.approx(10)
    page.locator("#x-axis").select_option("3")
    page.wait_for_function("document.querySelector('#front-plot .xtitle').textContent === 'parameters (M)'")
    lines = page.locator("#parallel-axes input")
    assert lines.count() == 10
    lines.first.uncheck()
    assert page.evaluate("document.getElementById('parallel-plot').layout.xaxis.tickvals.length") == 9
    assert page.console == []


def test_the_keyboard_reaches_and_works_everything(data, opened):
    page = opened(data)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the front"
    page.keyboard.press("Enter")
    seen = []
    for _ in range(400):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.outerHTML.slice(0, 60)"))
        if page.evaluate("document.activeElement.matches('#front-table .select')"):
            break
    assert any('id="x-axis"' in each for each in seen)
    assert any('id="tokens"' in each for each in seen)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    number = page.evaluate("Number(document.activeElement.dataset.id)")
    page.keyboard.press("Enter")
    shows_everywhere(page, data, next(trial for trial in data.trials if trial.id == number))
    assert page.console == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_an_audit_finds_no_barrier(data, kept, measured, opened, scheme, width):
    """Names, roles, order of headings, contrast of colours and more, by the rules of axe-core."""
    from axe_playwright_python.sync_playwright import Axe

    data = replace(data, kept=kept, measured=measured)
    page = opened(data, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.locator("#front-table .select").first.click()
    audit = Axe().run(page)
    assert audit.violations_count == 0, audit.generate_report()
    assert len(audit.response["passes"]) > 20


def test_a_dominated_trial_is_selected_by_its_number(data, opened):
    page = opened(data)
    dominated = next(t for t in data.trials if t.status == "complete" and t not in members(data))
    page.get_by_label("Select trial", exact=True).fill(str(dominated.id))
    page.keyboard.press("Tab")
    assert page.locator("#selected h3").text_content().startswith(f"#{dominated.id}: ")
    page.get_by_label("Select trial", exact=True).fill("")
    page.keyboard.press("Tab")
    assert page.locator("#selected h3").text_content().startswith(f"#{dominated.id}: ")
    rejected = next(t for t in data.trials if t.status == "invalid")
    page.get_by_label("Select trial", exact=True).fill(str(rejected.id))
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('pick').validity.customError")
    assert page.locator("#selected h3").text_content().startswith(f"#{dominated.id}: ")


def test_small_values_keep_their_digits(data, opened):
    small = [replace(t, metrics={**t.metrics, "score": t.metrics["score"] / 1e5}) for t in data.trials if t.metrics]
    page = opened(replace(data, trials=tuple(small), reference=replace(data.reference, ideal=(-1e-4, 20e6, -4000.0))))
    page.locator("#front-table .select").first.click()
    shown = float(page.locator("#selected dd").first.text_content())
    assert shown == pytest.approx(next(t for t in small if t.id == trial_of(page, data).id).metrics["score"], rel=1e-3)


def test_plots_follow_the_dark_scheme(data, opened):
    page = opened(data, color_scheme="light")
    colour = "document.getElementById('front-plot').layout.font.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== '{light}'")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"


def test_hostile_text_runs_no_script(hostile, opened):
    page = opened(hostile)
    page.locator("#front-table .select").first.click()
    page.mouse.move(*page.evaluate(PLACE, ["front-plot", "Pareto front", 0]))
    page.locator("#front-plot .hoverlayer .hovertext").wait_for()
    assert page.evaluate("String(window.owned)") == "undefined"
    assert page.locator("img, iframe, object, [onfocus], [onerror]").count() == 0
    assert page.console == []
    assert page.locator(".main-svg").count() >= 4


def test_a_study_of_nothing_says_so(data, opened):
    page = opened(replace(data, trials=()))
    assert page.get_by_text("Nothing to draw: no architecture was evaluated.").count() >= 4
    assert page.console == []
