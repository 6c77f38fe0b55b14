"""A language model as a judge at equal size: which rows it sees, what is measured, what a weak one gets."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from mimar.bench import equal_size_bins, judge_bins, load_truth, measure, proxy_table
from mimar.errors import InputError, ProviderError
from mimar.llm import UniformLLM
from mimar.proxies import ProxyInputs, adw
from mimar.proxies.judge import JUDGE
from mimar.testing import FaultyLLM, ScriptedJudge, ScriptedLLM


@pytest.fixture
def large(data):
    """Made-up results of 30 GPT-2-like models, repeated with other results: 90 rows."""
    truth = load_truth("some_hwgpt")
    rng = np.random.default_rng(1)
    rows = [
        replace(row, id=f"{row.id}-{copy}", label=row.label + rng.random(), size=row.size * (1 + 0.01 * copy))
        for copy in range(3)
        for row in truth.rows
    ]
    return replace(truth, rows=tuple(rows))


def planted(truth):
    """A model that knows the results; of rows with one description, the mean result."""
    found = {}
    for row in truth.rows:
        found.setdefault(row.subject.description, []).append(row.label)
    sign = 1 if truth.higher_is_better else -1
    return ScriptedJudge(lambda description: sign * float(np.mean(found[description])))


@pytest.fixture
def distinct(large):
    """Three bins in which no two rows have one description."""
    rows, seen = [], set()
    for row in large.rows:
        if row.subject.description not in seen:
            seen.add(row.subject.description)
            rows.append(row)
    assert len(rows) >= 20
    return replace(large, rows=tuple(rows))


@pytest.mark.parametrize("bins", [1, 2, 3, 4])
def test_bins_are_of_neighbours_in_size_and_stay_as_they_are(large, bins):
    kept = equal_size_bins(large, bins)
    assert (len(kept.rows), kept.bin_size) == (20 * bins, 20)
    order = np.sort(large.sizes)
    for start in range(0, 20 * bins, 20):
        part = kept.sizes[start : start + 20]
        assert (np.diff(part) >= 0).all()
        inside = ((order >= part[0]) & (order <= part[-1])).sum()
        assert inside <= 20 + (order == part[0]).sum() + (order == part[-1]).sum()
    assert (np.diff(kept.sizes) >= 0).all()


def test_bins_are_spread_over_all_sizes(large):
    smallest, largest = np.sort(large.sizes)[[0, -1]]
    two = equal_size_bins(large, 2).sizes
    assert two[0] == smallest
    assert two[20] > np.median(large.sizes)
    assert two[-1] >= 0.8 * largest


@pytest.mark.parametrize("bins", [0, 5, 99])
def test_more_bins_than_there_are_is_bad_input(large, bins):
    with pytest.raises(InputError, match=rf"90 rows, hence up to 4 bins of 20; got --bins {bins}"):
        equal_size_bins(large, bins)


def test_too_few_rows_for_a_bin_is_bad_input(data):
    with pytest.raises(InputError, match="hence up to 0 bins"):
        equal_size_bins(load_truth("some_cells").sample(15, 0), 1)


def test_a_model_that_knows_the_results_is_perfect(distinct):
    kept = equal_size_bins(distinct, 1)
    llm = planted(kept)
    found = judge_bins(kept, llm)
    assert (found.row.proxy, found.row.n, found.row.bin_size) == (JUDGE, 20, 20)
    assert (found.row.measures.tau_iso, found.row.measures.regret_iso) == (1.0, 0.0)
    assert (found.summary.calls, found.summary.candidates, found.summary.self_consistency) == (3, 20, 1.0)
    only = found.bins[0]
    assert (only.tau, only.regret, only.self_consistency) == (1.0, 0.0, 1.0)
    assert (only.smallest, only.largest) == (kept.sizes[0], kept.sizes[-1])
    assert all(set(shown) == {row.subject.description for row in kept.rows} for shown in llm.shown)


def test_only_figures_at_equal_size_are_given(large):
    kept = equal_size_bins(large, 2)
    row = judge_bins(kept, planted(kept)).row
    whole = [row.measures.tau, row.measures.rho, row.measures.tau_within, row.measures.top10_overlap, row.measures.ci95]
    assert whole == [None] * 5
    assert json.loads(json.dumps(row.to_json()))["tau_iso"] == row.measures.tau_iso


def test_it_is_compared_on_the_rows_of_the_other_scores(large):
    kept = equal_size_bins(large, 2)
    scores = np.array([adw(ProxyInputs(row.subject)) for row in kept.rows])
    other = {row.subject.description: score for row, score in zip(kept.rows, scores, strict=True)}
    judged = judge_bins(kept, ScriptedJudge(other.__getitem__)).row.measures
    table = proxy_table(kept, [adw])[0].measures
    expected = np.mean([kendalltau(scores[i : i + 20], -kept.labels[i : i + 20])[0] for i in (0, 20)])
    assert table.tau_iso == pytest.approx(expected)
    assert judged.tau_iso == pytest.approx(table.tau_iso, abs=0.02)  # equal scores may end in either order
    assert judged.tau_added == pytest.approx(0, abs=0.1)


def test_a_random_model_is_as_good_as_chance(large):
    kept = equal_size_bins(large, 4)
    found = [judge_bins(kept, UniformLLM(), seed=seed) for seed in range(8)]
    assert np.mean([each.row.measures.tau_iso for each in found]) == pytest.approx(0, abs=0.1)
    assert np.mean([each.summary.self_consistency for each in found]) == pytest.approx(0, abs=0.1)


def test_broken_replies_cost_calls_and_no_order(distinct):
    kept = equal_size_bins(distinct, 1)
    for seed in range(10):
        found = judge_bins(kept, FaultyLLM(planted(kept), 0.3, seed))
        assert found.row.measures.tau_iso == 1
        assert found.summary.answers <= found.summary.calls


def test_a_model_that_ranks_nothing_tells_nothing_apart(large):
    kept = equal_size_bins(large, 2)
    found = judge_bins(kept, ScriptedLLM(lambda *_: "I cannot say."))
    assert found.row.measures.tau_iso == 0
    assert found.row.measures.regret_iso == measure(kept, np.zeros(40)).regret_iso
    assert [each.tau for each in found.bins] == [None, None]
    assert (found.summary.calls, found.summary.answers, found.summary.self_consistency) == (12, 0, None)


def test_a_dead_provider_is_an_error(large):
    def down(messages, schema, seed):
        raise ProviderError("HTTP 503")

    with pytest.raises(ProviderError):
        judge_bins(equal_size_bins(large, 1), ScriptedLLM(down))


@pytest.mark.parametrize("name", ["some_lts", "some_hwgpt", "some_flexibert", "some_cells", "mine"])
def test_every_kind_of_table_can_be_judged(data, name, check_golden):
    truth = load_truth(name, label="perplexity" if name == "mine" else None)
    kept = equal_size_bins(truth, 1)
    llm = ScriptedJudge(len)
    judge_bins(kept, llm)
    assert truth.label_name in truth.setting
    assert ("lower is better" in truth.setting) == (not truth.higher_is_better)
    check_golden(f"judged_{name}.txt", "\n".join([truth.setting, *sorted(llm.shown[0])]) + "\n")
