"""Extrapolated learning curves: right where the rule is planted, and as sure as they should be."""

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.predict import LearningCurves

PLACES = np.array([0.1, 0.25, 0.5])


def planted(count, rng, noise=0.02):
    """Power laws with another floor, height and exponent each; readings and end with noise."""
    floor, height, power = rng.uniform(3, 4, count), rng.uniform(0.5, 1.5, count), rng.uniform(0.3, 0.6, count)
    places = np.append(PLACES, 1.0)
    losses = floor[:, None] + height[:, None] * places ** -power[:, None]
    losses += noise * rng.standard_normal(losses.shape)
    return losses[:, :-1], losses[:, -1]


def test_expected_ends_are_nearer_than_the_last_reading_shifted():
    rng = np.random.default_rng(0)
    model = LearningCurves.fit(*planted(40, rng))
    curves, ends = planted(400, rng)
    mean, _ = model.predict(curves)
    shifted = curves[:, -1] - np.mean(curves[:, -1] - ends)
    assert np.std(mean - ends) < 0.6 * np.std(shifted - ends)


@pytest.mark.parametrize("count", [8, 20, 60])
def test_nine_of_ten_ends_lie_in_the_interval_that_says_so(count):
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(40):
        model = LearningCurves.fit(*planted(count, rng))
        curves, ends = planted(50, rng)
        mean, deviation = model.predict(curves)
        inside += list(np.abs(ends - mean) < 1.645 * deviation)
    assert 0.8 < np.mean(inside) < 0.97


def test_far_from_what_was_seen_it_is_less_sure():
    curves, ends = planted(30, np.random.default_rng(2))
    model = LearningCurves.fit(curves, ends)
    assert model.predict(curves[:1] + 5.0)[1] > 2 * model.predict(curves.mean(axis=0)[None])[1]


def test_equal_ends_need_no_features():
    curves, _ = planted(5, np.random.default_rng(3), noise=0.0)
    mean, deviation = LearningCurves.fit(curves, curves[:, -1] - 0.5).predict(curves)
    assert mean == pytest.approx(curves[:, -1] - 0.5)
    assert np.all(deviation < 1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (4, 0), (4,)])
def test_too_little_to_learn_from(shape):
    with pytest.raises(InputError, match="at least 3"):
        LearningCurves.fit(np.ones(shape), np.ones(shape[0]))
