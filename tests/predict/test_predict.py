"""Features and ridge regression, against slow references."""

import numpy as np
import pytest

from mimar.predict import Features, Ridge
from mimar.predict._ridge import PENALTIES
from mimar.space import TransformerSpace
from mimar.testing import layerdrop_problem


def data(n=30, d=6, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x @ rng.normal(size=d) + 3.0 + noise * rng.normal(size=n)


def fitted(x, y, penalty):
    """Weights and intercept by the normal equations of centred data."""
    centred = x - x.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    return lambda new: y.mean() + (new - x.mean(axis=0)) @ weights


def left_out_error(x, y, penalty):
    """Leave-one-out error by leaving out one after the other."""
    keep = ~np.eye(len(y), dtype=bool)
    return np.sqrt(np.mean([(y[i] - fitted(x[k], y[k], penalty)(x[i])) ** 2 for i, k in enumerate(keep)]))


@pytest.mark.parametrize("noise", [0.01, 0.5, 5.0])
def test_the_penalty_is_the_one_with_the_least_error_when_each_is_left_out(noise):
    x, y = data(noise=noise)
    errors = [left_out_error(x, y, penalty) for penalty in PENALTIES]
    best = fitted(x, y, PENALTIES[int(np.argmin(errors))])
    model = Ridge.fit(x, y)
    assert model.predict(x) == pytest.approx(best(x))
    assert model.error == pytest.approx(min(errors), rel=1e-6)


def test_an_exact_line_is_found():
    x, y = data(noise=0.0)
    new = np.random.default_rng(9).normal(size=(5, 6))
    truth = np.linalg.lstsq(np.c_[x, np.ones(30)], y, rcond=None)[0]
    assert Ridge.fit(x, y).predict(new) == pytest.approx(np.c_[new, np.ones(5)] @ truth, rel=1e-2)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((4, 3)), np.arange(4.0)),
        (np.ones((2, 1)), np.array([1.0, 2.0])),
        (np.zeros((3, 0)), np.arange(3.0)),
        (np.eye(3), np.full(3, 7.0)),
        (np.random.default_rng(0).normal(size=(4, 50)), np.arange(4.0)),
    ],
    ids=["no information", "two points", "no features", "constant", "more features than points"],
)
def test_poor_data_gives_finite_predictions(x, y):
    model = Ridge.fit(x, y)
    assert np.isfinite(model.predict(x)).all()
    assert np.isfinite(model.error)


def test_words_and_few_numbers_are_one_hot_and_other_numbers_scaled_logarithms_and_their_squares():
    features = Features({"norm": ("rmsnorm", "layernorm"), "heads": (1, 4), "hidden": (1, 2, 3, 4, 5, 6, 7, 8, 63)})
    rows = [{"norm": "layernorm", "heads": 4, "hidden": 63}, {"norm": "rmsnorm", "heads": 1, "hidden": 7}]
    assert features.encode(rows) == pytest.approx(np.array([[0, 1, 0, 1, 1, 1], [1, 0, 1, 0, 1 / 2, 1 / 4]]))


@pytest.mark.parametrize(
    "space", [TransformerSpace(), layerdrop_problem().problem.space], ids=["transformer", "layer drop"]
)
def test_any_space_can_be_encoded(space):
    rng = np.random.default_rng(0)
    rows = [space.to_choices(space.sample(rng)) for _ in range(20)]
    encoded = Features(space.variables).encode(rows)
    assert encoded.shape[0] == 20
    assert np.isfinite(encoded).all()
    assert np.abs(encoded).max() <= 1.0
    assert Features(space.variables).encode([]).shape == (0, encoded.shape[1])
