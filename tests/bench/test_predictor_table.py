"""Predictors on truths: what they see and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from mimar.bench import (
    Truth,
    TruthRow,
    load_truth,
    predicted_quantity,
    predictor_table,
    tiny_architectures,
    truth_features,
)
from mimar.bench._options import decoder_features
from mimar.bench._predictor_table import closed_form_scores
from mimar.errors import InputError
from mimar.predict import Learner, calibration, ridge
from mimar.proxies import PROXIES, DecoderSubject, ProxyInputs, adw


@pytest.fixture
def cells(data):
    return load_truth("some_cells")


def test_only_rows_that_were_not_trained_on_are_predicted(cells):
    seen = []

    def fit(x, y, rng):
        seen.append((x, y))
        return ridge.fit(x, y, rng)

    row = predictor_table(cells, [10], [Learner("spy", "test", fit)], seeds=3)[1]
    x, y = truth_features(cells), predicted_quantity(cells)[1]
    assert [len(told) for _, told in seen] == [10, 10, 10]
    assert len({tuple(told) for _, told in seen}) == 3
    errors, taus = [], []
    for inputs, told in seen:
        rest = np.array([not (inputs == each).all(axis=1).any() for each in x])
        assert (rest.sum(), row.tested) == (10, 10)
        mean, deviation = ridge.fit(inputs, told, np.random.default_rng(0)).predict(x[rest])
        errors.append(calibration(mean, deviation, y[rest]).rmse)
        taus.append(kendalltau(mean, y[rest])[0])
    assert row.rmse == pytest.approx(np.median(errors))
    assert row.tau == pytest.approx(np.median(taus))


def test_a_line_through_the_default_score_stands_first(data):
    truth = load_truth("some_hwgpt")
    score = np.array([adw(ProxyInputs(row.subject)) for row in truth.rows])
    perfect = replace(
        truth, rows=tuple(replace(r, label=float(np.exp(-s))) for r, s in zip(truth.rows, score, strict=True))
    )
    line, learnt = predictor_table(perfect, [20], [ridge], seeds=1)
    assert (line.predictor, learnt.predictor) == (adw.name, "ridge")
    assert line.rmse < 0.01 * np.std(score)
    assert line.tau == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["some_lts", "some_hwgpt", "some_flexibert", "some_cells", "mine"])
def test_features_tell_architectures_apart(data, name):
    truth = load_truth(name, label="perplexity" if name == "mine" else None)
    x = truth_features(truth)
    assert np.isfinite(x).all()
    assert (x.std(axis=0) > 0)[: -len([p for p in PROXIES if p.cost == "closed form"])].all()
    distinct = len({row.subject for row in truth.rows})
    assert len(np.unique(x.round(9), axis=0)) == distinct


def test_cells_are_told_by_their_edges(cells):
    scores = sum(proxy.cost == "closed form" for proxy in PROXIES)
    edges = [len({row.subject.operations[i] for row in cells.rows}) for i in range(6)]
    assert truth_features(cells).shape == (len(cells.rows), sum(edges) + scores)


def test_scores_are_scaled_logarithms_where_they_are_positive(data):
    truth = load_truth("some_lts")
    positive, negative = closed_form_scores(truth, PROXIES[:2]).T[::-1]
    for column, proxy, scale in ((positive, PROXIES[1], np.log), (negative, PROXIES[0], lambda x: x)):
        raw = scale(np.array([proxy(ProxyInputs(row.subject)) for row in truth.rows]))
        assert column == pytest.approx((raw - raw.mean()) / raw.std())


def test_perplexities_are_predicted_as_losses(data):
    lts, cells = load_truth("some_lts"), load_truth("some_cells")
    assert predicted_quantity(lts)[0] == "ln valid_ppl"
    assert predicted_quantity(lts)[1] == pytest.approx(np.log(lts.labels))
    assert predicted_quantity(cells)[0] == "cifar100_val"
    assert predicted_quantity(cells)[1] == pytest.approx(cells.labels)


@pytest.mark.parametrize("size", [9, 11])
def test_too_few_rows_on_either_side(cells, size):
    with pytest.raises(InputError, match="from 10 to 10 rows"):
        predictor_table(cells, [size], [ridge])


def test_networks_that_were_trained_on_are_not_predicted_under_another_id(cells):
    first = cells.rows[0]
    again = tuple(replace(first, id=f"again {i}", label=first.label + i) for i in range(6))
    row = predictor_table(replace(cells, rows=(*cells.rows, *again)), [10], [ridge], seeds=9)[1]
    assert 10 <= row.tested <= 15  # 16 are left; nearly always one of the seven was trained on, and not all of them
    all_alike = replace(cells, rows=tuple(replace(first, id=str(i)) for i in range(30)))
    with pytest.raises(InputError, match="leave only 0 with other networks"):
        predictor_table(all_alike, [15], [ridge])


def test_an_order_that_is_not_told_counts_nothing(cells):
    flat = Learner("flat", "test", lambda x, y, rng: Flat())
    assert predictor_table(cells, [10], [flat], seeds=2)[1].tau == 0.0


class Flat:
    def predict(self, x):
        return np.ones(len(x)), np.ones(len(x))


def test_decoders_are_learnt_by_their_kinds_wherever_they_stand():
    arch = next(arch for arch in tiny_architectures(40, 256, 256) if len(set(arch.blocks)) > 1)
    turned = replace(arch, blocks=arch.blocks[::-1])
    other = replace(arch, norm="layernorm" if arch.norm == "rmsnorm" else "rmsnorm")
    same, also, different = decoder_features([arch, turned, other])
    assert same == pytest.approx(also)
    assert np.abs(same - different).sum() > 1


def test_a_planted_kind_is_learnt_from_few_decoders():
    archs = tiny_architectures(120, 256, 256)
    share = [sum(block.mixer.kind == "convolution" for block in arch.blocks) / arch.num_layers for arch in archs]
    rows = [TruthRow(str(i), DecoderSubject(arch), 5 - share[i], 1e6, None) for i, arch in enumerate(archs)]
    truth = Truth("planted", tuple(rows), "loss", False, 20, "")
    line, learnt = predictor_table(truth, [60], [ridge], seeds=3)
    assert line.rmse > 0.1
    assert learnt.rmse < 0.01
