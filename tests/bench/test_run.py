"""Tables of scores: what is run, on how many rows, and what happens to a score that fails."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from mimar.bench import BASELINES, load_truth, measure, proxy_table, standardiser_for
from mimar.errors import CandidateError, InputError
from mimar.proxies import (
    RZ_NAS_MEMBERS,
    Ensemble,
    ProxyInputs,
    Score,
    Standardiser,
    adw,
    decoder_inputs,
    grad_norm,
    hpm,
    rz_nas_ensemble,
)

MODULES = frozenset({"weights"})


@pytest.fixture
def mine(data):
    return load_truth("mine", label="perplexity")


def test_baselines_come_along_once(mine):
    rows = proxy_table(mine, [BASELINES[1], adw])
    assert [row.proxy for row in rows] == ["nonembedding_params", "adw", "params", "flops", "depth_width"]
    assert all(row.n == 20 and row.ms_per_architecture > 0 and row.reason is None for row in rows)


def test_figures_are_those_of_the_scores(mine):
    scores = [adw(decoder_inputs(row.subject.arch)) for row in mine.rows]
    row = proxy_table(mine, [adw])[0]
    assert row.measures == measure(mine, scores, scores)
    assert row.measures.tau == pytest.approx(kendalltau(scores, -mine.labels)[0])
    assert row.to_json() == {
        "proxy": "adw", "n": 20, "tau": row.measures.tau, "rho": row.measures.rho,
        "tau_within": row.measures.tau_within, "tau_iso": row.measures.tau_iso,
        "regret_iso": row.measures.regret_iso, "tau_added": 0.0, "top10_overlap": row.measures.top10_overlap,
        "ci95": row.measures.ci95, "ms_per_architecture": row.ms_per_architecture, "bin_size": 10,
    }  # fmt: skip


def test_a_score_that_needs_a_module_is_the_same_alone_and_in_company(mine):
    few = mine.sample(4, seed=0)
    alone = grad_norm(ProxyInputs(few.rows[2].subject, seed=5))
    seen = []
    spy = Score("spy", MODULES, "weights", "test", lambda inputs: seen.append(grad_norm(inputs)) or seen[-1])
    rows = {row.proxy: row for row in proxy_table(few, [grad_norm, spy], seed=5)}
    assert seen[2] == alone
    assert rows["spy"].measures == rows["grad_norm"].measures


def counted(calls):
    """A score that needs a module, and remembers for what it was asked."""
    return Score("counted", MODULES, "weights", "test", lambda inputs: calls.append(inputs) or hpm(inputs) / 3)


def test_stored_scores_are_not_computed_again_whenever_a_run_was_stopped(mine, tmp_path):
    mine = replace(mine, rows=tuple({row.subject: row for row in mine.rows}.values()))
    path, calls = tmp_path / "scores.csv", []
    whole = proxy_table(mine, [counted(calls)], scores=path)[0]
    assert len(calls) == len(mine.rows) + 3  # three more for the time it takes alone
    lines = path.read_bytes()
    for size in (len(lines), len(lines) - 1, len(lines) // 2, 20, 0):
        path.write_bytes(lines[:size])
        calls.clear()
        again = proxy_table(mine, [counted(calls)], scores=path)[0]
        held = max(0, lines[:size].count(b"\n") - 1)
        assert again.measures == whole.measures
        assert len(calls) == len(mine.rows) - held + 3
        assert path.read_bytes() == lines


def test_stored_scores_are_found_by_network_and_seed_whatever_the_table(mine, tmp_path):
    path, calls = tmp_path / "scores.csv", []
    first = proxy_table(mine, [counted(calls)], scores=path)[0]
    calls.clear()
    turned = replace(mine, name="other", rows=tuple(replace(r, id=str(i)) for i, r in enumerate(mine.rows[::-1])))
    assert proxy_table(turned, [counted(calls)], scores=path)[0].measures.tau == first.measures.tau
    assert len(calls) == 3
    proxy_table(mine, [counted(calls)], scores=path, seed=1)
    assert len(calls) == 3 + len(mine.rows) + 3


def test_scores_of_an_ensemble_belong_to_its_standardiser(mine, tmp_path):
    few, path = mine.sample(3, seed=0), tmp_path / "scores.csv"
    standardisers = [Standardiser({"adw": (mean, 1.0)}) for mean in (0.0, 5.0)]
    for expected, standardiser in enumerate(standardisers, 1):
        ensemble = Ensemble("pair", (replace(adw, cost="weights"),), (1.0,), standardiser, "test")
        proxy_table(few, [ensemble], scores=path)
        assert len(path.read_text().splitlines()) == 1 + 3 * expected


@pytest.mark.parametrize(
    "content",
    ["a,b\n1,2\n", "no line end", "id,network,proxy,seed,score\n1,2\n", "id,network,proxy,seed,score\n1,2,p,0,x\n"],
)
def test_a_file_that_holds_no_scores_is_left_alone(mine, tmp_path, content):
    (tmp_path / "scores.csv").write_text(content)
    with pytest.raises(InputError, match="expected scores of ours"):
        proxy_table(mine, [counted([])], scores=tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text() == content


@pytest.mark.parametrize("bad", ["refuses", "breaks"])
def test_without_the_score_that_is_given_nothing_is_said_of_what_is_added(mine, bad):
    given = Score("bad", MODULES, "closed form", "test", {"refuses": refuses, "breaks": breaks}[bad])
    row = proxy_table(mine, [hpm], given=given)[0]
    assert (row.measures.tau_added, row.n) == (None, 20)


def refuses(inputs):
    raise CandidateError("softmax attention is missing")


def breaks(inputs):
    raise RuntimeError("cannot multiply")


@pytest.mark.parametrize("cost", ["closed form", "backward"])
@pytest.mark.parametrize(
    ("function", "reason"),
    [(refuses, "softmax attention is missing"), (breaks, "cannot multiply"), (lambda inputs: np.nan, "nan, not a")],
)
def test_a_score_that_cannot_be_had_is_a_row_with_a_reason(mine, cost, function, reason):
    row, other = proxy_table(mine, [Score("bad", MODULES, cost, "test", function), hpm])[:2]
    assert reason in row.to_json()["reason"]
    assert row.to_json()["tau"] is None
    assert row.n == 0
    assert other.n == 20


def test_a_bug_in_a_score_is_not_hidden(mine):
    def bug(inputs):
        return {}["missing"]

    with pytest.raises(KeyError):
        proxy_table(mine, [Score("bug", MODULES, "weights", "test", bug)])


def test_scores_that_need_a_module_see_a_sample_of_a_large_truth(mine):
    large = replace(mine, rows=tuple(replace(row, id=str(i)) for i, row in enumerate(mine.rows * 101)), bin_size=20)
    asked, told = [], []
    dear = Score("dear", MODULES, "weights", "test", lambda inputs: asked.append(inputs) or float(len(asked)))
    rows = {row.proxy: row for row in proxy_table(large, [dear, hpm], progress=lambda *step: told.append(step))}
    assert (rows["dear"].n, rows["dear"].bin_size, rows["hpm"].n, rows["hpm"].bin_size) == (500, 10, 2020, 20)
    assert told[-1] == (500, 500)
    assert len(asked) == 503  # three more for the time it takes alone
    rows = {row.proxy: row for row in proxy_table(large, [dear, hpm], sample=30)}
    assert rows["dear"].n == rows["hpm"].n == 30


@pytest.mark.parametrize("name", ["some_lts", "some_hwgpt", "some_flexibert", "some_cells"])
def test_every_family_runs_with_modules(data, name):
    rows = {row.proxy: row for row in proxy_table(load_truth(name), [grad_norm, adw], sample=3)}
    assert rows["grad_norm"].n == 3
    assert -1 <= rows["grad_norm"].measures.tau <= 1


def test_an_ensemble_is_standardised_on_the_truth_itself(data):
    truth = load_truth("some_hwgpt").sample(3, seed=0)
    standardiser = standardiser_for(truth, RZ_NAS_MEMBERS, seed=1)
    row = proxy_table(truth, [rz_nas_ensemble(standardiser)], seed=1)[0]
    assert (row.n, row.reason) == (3, None)
    for member in RZ_NAS_MEMBERS:
        values = [member(ProxyInputs(each.subject, 1)) for each in truth.rows]
        assert standardiser.moments[member.name] == pytest.approx((np.mean(values), np.std(values)))
