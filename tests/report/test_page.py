"""The page as a parser sees it: complete, self-contained, and whole whatever text the study holds."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mimar.errors import InputError
from mimar.objectives import Budget, Objective, front_trials
from mimar.pareto import Reference
from mimar.report import render_html, training_cost

OWN_TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title link style body a header h1 p dl div dt dd strong span main noscript section h2 label "
        "select figure figcaption aside input table caption thead tbody tr th td button fieldset legend details "
        "summary h3 pre footer script",
    )
)


class Page(HTMLParser):
    """Elements with their attributes, and the text of those that hold only text."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self._open = [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.texts.append("")
        self._open.append(len(self.texts) - 1)

    def handle_endtag(self, tag):
        while self._open and self.elements[self._open.pop()][0] != tag:
            pass

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]] += data

    def all(self, tag, **attributes):
        wanted = attributes.items()
        return [
            (found, text)
            for (name, found), text in zip(self.elements, self.texts, strict=True)
            if name == tag and all(found.get(key.rstrip("_").replace("_", "-")) == value for key, value in wanted)
        ]


def page_of(data, tokens=2e9):
    return Page(render_html(data, training_tokens=tokens))


@pytest.fixture(scope="module")
def page(data):
    return page_of(data)


@pytest.fixture(scope="module")
def hostile_page(hostile):
    return page_of(hostile)


def shown(text):
    """What no page can show is replaced, all else stays."""
    return re.sub(r"[\x00\x1b\ud800]", "\N{REPLACEMENT CHARACTER}", text)


def payload_of(page):
    return json.loads(page.all("script", id="study-data")[0][1])


def test_hostile_text_makes_no_element_and_no_attribute(page, hostile_page):
    for found in (page, hostile_page):
        assert {tag for tag, _ in found.elements} <= OWN_TAGS
        assert len(found.all("script")) == 4
        assert len(found.all("a")) == 1
        assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert {name for _, held in hostile_page.elements for name in held} == {
        name for _, held in page.elements for name in held
    }


def test_hostile_text_is_readable_as_it_came(hostile_page, hostile_texts):
    cleaned = [shown(text) for text in hostile_texts]
    blocks = [text for _, text in hostile_page.all("pre")]
    assert " ".join(cleaned) in blocks
    cells = {text for _, text in hostile_page.all("td")}
    assert set(cleaned) <= cells


def test_data_cannot_leave_its_element(hostile, hostile_page, hostile_texts):
    raw = hostile_page.all("script", id="study-data")[0][1]
    assert not set("<>&\u2028\u2029") & set(raw)
    assert raw.isascii()
    assert payload_of(hostile_page)["familiar"] == [shown(text) for text in hostile_texts]
    assert payload_of(hostile_page)["commands"][0].startswith("mimar export 'x")


def test_only_its_own_scripts_may_run(page):
    policy = page.all("meta", http_equiv="Content-Security-Policy")[0][0]["content"]
    scripts = [text for attributes, text in page.all("script") if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_loads_nothing(page):
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith(("#", "data:,")), tag
        assert "style" not in attributes, tag
    (style,) = [text for _, text in page.all("style")]
    assert "url(" not in style
    assert "@import" not in style


def test_own_scripts_never_make_markup(page):
    own = [text for attributes, text in page.all("script") if not attributes][1:]
    assert len(own) == 2
    for script in own:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)


def test_front_table_holds_every_member_and_every_sort_key(data, page):
    rows = front_trials(data.trials, data.objectives)
    found = [attributes["data-id"] for attributes, _ in page.all("tr") if "data-id" in attributes]
    assert found == [str(row.id) for row in rows]
    sortable = len(page.all("button", class_="sort"))
    keys = [float(attributes["data-value"]) for attributes, _ in page.all("td") if "data-value" in attributes]
    assert len(keys) == sortable * len(rows)
    first = front_trials(data.trials, data.objectives)[0]
    metrics = [first.metrics[name] for name in ("score", "memory_bytes", "decode_tokens_per_second", "params")]
    cost = training_cost(data.trials[first.id].architecture, 2e9)
    assert keys[:sortable] == [first.id, *metrics, cost.gpu_hours, cost.dollars]


def test_each_member_has_its_export_command(data, page):
    wanted = [f"mimar export '{data.name}#{row.id}' --to hf DIR" for row in front_trials(data.trials, data.objectives)]
    assert [attributes["data-command"] for attributes, _ in page.all("button", class_="copy")] == wanted
    assert payload_of(page)["commands"] == wanted


def test_columns_of_the_payload_are_complete(data, page):
    study = payload_of(page)
    done = [trial for trial in data.trials if trial.status == "complete"]
    assert sorted(study["ids"]) == [trial.id for trial in done]
    assert study["ids"][: study["front"]] == [row.id for row in front_trials(data.trials, data.objectives)]
    assert [done[order - 1].id for order in study["order"]] == study["ids"]
    assert all(len(axis["values"]) == len(done) for axis in study["axes"])
    memory = next(axis for axis in study["axes"] if axis["key"] == "memory_bytes")
    assert memory["budgets"] == [["max", 300.0]]
    assert memory["values"][0] == pytest.approx(data.trials[study["ids"][0]].metrics["memory_bytes"] / 1e6, rel=1e-4)
    assert memory["familiar"][0] > 0
    layers = next(axis for axis in study["axes"] if axis["key"] == "layers")
    assert layers["values"][0] == data.trials[study["ids"][0]].architecture.num_layers


def test_summary_prompts_ledger_and_rejections_are_there(data, page):
    told = " ".join(page.texts)
    assert "reference score 0, memory 400 MB, decoding speed 0 tok/s" in told
    assert "interrupted; enough trials" in told
    assert "memory at most 300 MB; decoding speed at least 40 tok/s" in told
    assert [text for _, text in page.all("pre")][:3] == [
        "You design Transformers.",
        "Propose four.",
        '{"candidates": []}',
    ]
    assert "Propose three & explain <why>." in told
    assert "failed: ReplyError" in told
    assert "Sure! Here is" in told
    assert "over budget: params must be at most 3e+07" in told
    assert "312 TFLOP/s" in told
    assert data.command in told


def test_more_than_three_objectives_have_parallel_axes(data):
    objectives = (*data.objectives, Objective("params", "min"), Objective("flops", "min"))
    frame = Reference((*data.reference.point, 1e9, 1e13), (*data.reference.ideal, 0.0, 0.0))
    page = page_of(replace(data, objectives=objectives, reference=frame))
    study = payload_of(page)
    assert study["objectives"] == [o.metric for o in objectives]
    assert [axis["key"] for axis in study["axes"]][:5] == study["objectives"]
    assert {"layers", "hidden size", "heads", "kv heads"} <= {axis["key"] for axis in study["axes"]}
    assert len(page.all("div", id="parallel-plot")) == 1


def test_every_control_and_region_has_a_name(page):
    labelled = {"aria-label", "aria-labelledby"}
    for tag, attributes in page.elements:
        if attributes.get("role") in ("group", "region") or tag in ("section", "aside"):
            assert labelled & set(attributes), (tag, attributes)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes["scope"] == "col" for attributes, _ in page.all("th"))


@pytest.mark.parametrize("kept", ["none", "rejected", "one"])
def test_small_studies_render(data, make_study, kept):
    chosen = {"none": (), "rejected": data.trials[3:4], "one": data.trials[:1]}[kept]
    page = page_of(make_study(tuple(chosen)))
    study = payload_of(page)
    assert len(study["ids"]) == (kept == "one")
    assert study["hypervolume"]["evaluations"] == ([1] if kept == "one" else [])
    assert "No language model was asked." in page.texts
    assert ("Every proposal was evaluated." in page.texts) == (kept != "rejected")


def test_absent_and_infinite_values_become_null(data):
    first = next(trial for trial in data.trials if trial.status == "complete")
    odd = replace(first, metrics={**first.metrics, "energy_j_per_token": float("inf")})
    page = page_of(replace(data, trials=(odd, *data.trials[1:])))
    energy = next(axis for axis in payload_of(page)["axes"] if axis["key"] == "energy_j_per_token")
    assert set(energy["values"]) == {None}


def test_training_tokens_must_be_positive(data):
    with pytest.raises(InputError, match="training tokens"):
        render_html(data, training_tokens=0)


def test_500_trials_stay_under_6_megabytes(make_trials, make_study, make_call):
    calls = tuple(make_call(i, "p" * 6000, "r" * 3000) for i in range(60))
    markup = render_html(make_study(make_trials(500), calls), training_tokens=2e9)
    assert len(markup.encode()) < 6e6


def test_a_large_study_is_cut_and_says_so(data, make_call):
    done = [trial for trial in data.trials if trial.status == "complete"]
    many = tuple(replace(done[i % len(done)], id=i) for i in range(6000))
    calls = tuple(make_call(i, "€" * 60_000, "r" * 10) for i in range(60))
    markup = render_html(replace(data, trials=many, calls=calls), training_tokens=2e9)
    page = Page(markup)
    told = " ".join(page.texts)
    assert len(markup.encode()) < 15e6
    assert len(payload_of(page)["ids"]) == 5000
    assert "5,000 of 6,000 architectures are drawn" in told
    assert "10,000 more characters are in the study" in told
    assert re.search(r"\d+ of 60 calls are shown, the earliest; the study holds all", told)


def test_budget_on_a_metric_without_trials_is_harmless(make_study):
    data = replace(make_study(()), budgets=(Budget("power_w", "max", 5.0),))
    assert "power at most 5 W" in " ".join(page_of(data).texts)
