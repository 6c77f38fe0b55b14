"""Learners, their choice and their calibration, against slow references."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.stats import norm

from mimar.errors import InputError, MissingDependencyError
from mimar.predict import (
    LEARNERS,
    Ridge,
    calibration,
    choose_predictor,
    gaussian_process,
    held_out,
    network_ensemble,
    ridge,
    svr,
)
from mimar.predict._ensemble import MEMBERS, fit_ensemble
from mimar.predict._learner import Scaling

ids = [learner.name for learner in LEARNERS]


needs_packages = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")


def curved(n=120, noise=0.1, seed=0):
    """A sum with one interaction, d = 5; the interaction is out of a linear model's reach."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 5))
    return x, x[:, 0] + 2 * x[:, 1] + 1.5 * x[:, 2] * x[:, 3] + noise * rng.normal(size=n)


def rng():
    return np.random.default_rng(0)


@needs_packages
@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_every_learner_predicts_unseen_rows_and_knows_its_error(learner):
    (x, y), (new, truth) = curved(), curved(400, seed=1)
    mean, deviation = learner.fit(x, y, rng()).predict(new)
    report = calibration(mean, deviation, truth)
    assert report.rmse < {"ridge": 0.65, "boosted_trees": 0.55}.get(learner.name, 0.4) < truth.std() / 2
    assert report.within[0.8] == pytest.approx(0.8, abs=0.12)
    assert report.within[0.95] > 0.85
    blind = calibration(np.full(400, y.mean()), np.full(400, y.std()), truth)
    assert report.nll < blind.nll - 0.4


@needs_packages
@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_equal_data_and_seed_give_equal_predictions_in_any_unit(learner):
    x, y = curved(40)
    mean, deviation = learner.fit(x, y, rng()).predict(x[:7])
    again, other = learner.fit(x, y, rng()).predict(x[:7]), learner.fit(x, 100 * y - 7, rng()).predict(x[:7])
    assert np.array_equal(again, (mean, deviation))
    # Ridge keeps its penalty in the units of x; every learner scales y.
    assert other[0] == pytest.approx(100 * mean - 7, rel=0.02, abs=2)
    assert other[1] == pytest.approx(100 * deviation, rel=0.05)


@needs_packages
@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((12, 3)), np.arange(12.0)),
        (np.eye(12), np.full(12, 7.0)),
        (np.random.default_rng(0).normal(size=(5, 40)), np.arange(5.0)),
        (np.repeat(np.eye(3), 4, axis=0), np.repeat([1.0, 2.0, 3.0], 4)),
    ],
    ids=["no information", "constant", "more features than rows", "equal rows"],
)
def test_poor_data_gives_finite_predictions(learner, x, y):
    mean, deviation = learner.fit(x, y, rng()).predict(x)
    assert mean.shape == deviation.shape == y.shape
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()
    assert np.abs(mean - y.mean()).max() <= 3 * y.std() + 1e-4


@pytest.mark.parametrize(
    ("x", "y"),
    [(np.zeros((4, 2)), np.zeros(4)), (np.zeros((9, 0)), np.zeros(9)), (np.zeros((9, 2)), np.zeros(8))],
    ids=["too few", "no features", "not as many values"],
)
def test_shapes_that_do_not_fit_are_explained(x, y):
    with pytest.raises(InputError, match="measure more"):
        ridge.fit(x, y, rng())


def test_ridge_is_as_unsure_as_its_left_out_rows():
    x, y = curved(30)
    mean, deviation = ridge.fit(x, y, rng()).predict(x[:4])
    assert np.array_equal(mean, Ridge.fit(x, y).predict(x[:4]))
    assert deviation == pytest.approx(np.full(4, Ridge.fit(x, y).error))


@needs_packages
def test_gaussian_process_against_the_textbook():
    """Posterior by dense inverses with the kernel's own settings, in units of y."""
    (x, y), (new, _) = curved(25), curved(6, seed=2)
    model = gaussian_process.fit(x, y, rng())
    kernel = model.model.kernel_
    trend, smooth = kernel.k1.k1.k1.constant_value, kernel.k1.k2.k1.constant_value
    width, noise = kernel.k1.k2.k2.length_scale, kernel.k2.noise_level
    size = np.sqrt(((x - x.mean(axis=0)) ** 2).mean())

    def covariance(a, b):
        a, b = ((rows - x.mean(axis=0)) / size / np.sqrt(5) for rows in (a, b))
        apart = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
        return trend * a @ b.T + smooth * np.exp(-apart / (2 * width**2))

    inverse = np.linalg.inv(covariance(x, x) + (noise + 1e-8) * np.eye(25))
    across = covariance(new, x)
    expected = y.mean() + across @ inverse @ (y - y.mean())
    variance = np.diag(covariance(new, new) - across @ inverse @ across.T) + noise
    mean, deviation = model.predict(new)
    assert mean == pytest.approx(expected, rel=1e-5)
    assert deviation == pytest.approx(np.sqrt(variance) * y.std(), rel=1e-4)


@needs_packages
@pytest.mark.parametrize("learner", [gaussian_process, network_ensemble], ids=lambda learner: learner.name)
def test_doubt_grows_far_from_the_data(learner):
    x, y = curved(60)
    model = learner.fit(x, y, rng())
    near, far = model.predict(x)[1].mean(), model.predict(6 * x)[1].mean()
    assert far > 2 * near


@dataclass(frozen=True)
class Mean:
    """A member that knows only the mean of what it saw."""

    value: float

    def predict(self, x):
        return np.full(len(x), self.value)


def test_ensemble_against_leaving_out_one_fold_after_the_other():
    x, y = curved(53)
    model = fit_ensemble(x, y, rng(), lambda _x, y, _seed: Mean(float(y.mean())))
    folds = rng().permutation(np.arange(53) % MEMBERS)
    scaled = [(value - y.mean()) / y.std() for value in y]
    means = [np.mean([v for v, f in zip(scaled, folds, strict=True) if f != fold]) for fold in range(MEMBERS)]
    squares = [(means[f] - v) ** 2 for v, f in zip(scaled, folds, strict=True)]
    variance = sum((m - sum(means) / MEMBERS) ** 2 for m in means) / MEMBERS
    noise = np.mean(squares) - 2 * variance
    mean, deviation = model.predict(x[:1])
    assert mean == pytest.approx([y.mean() + y.std() * np.mean(means)])
    assert deviation == pytest.approx([y.std() * np.sqrt(variance + noise)])


def test_scaling_weighs_rare_and_common_choices_alike():
    x = np.c_[np.eye(20)[:, 0], np.tile([0.0, 1.0], 10)]
    scaling = Scaling.of(x, np.arange(20.0))
    scaled = scaling.inputs(x)
    assert np.ptp(scaled[:, 0]) == pytest.approx(np.ptp(scaled[:, 1]))
    assert np.mean(scaled**2) == pytest.approx(1)
    assert scaling.back(scaling.targets(np.arange(20.0)), np.ones(20))[0] == pytest.approx(np.arange(20.0))


def test_calibration_against_scipy():
    random = rng()
    y, mean, deviation = random.normal(size=200), random.normal(size=200), random.uniform(0.5, 2, size=200)
    report = calibration(mean, deviation, y)
    for level, share in report.within.items():
        low, high = norm.interval(level, mean, deviation)
        assert share == np.mean((low <= y) & (y <= high))
    assert report.nll == pytest.approx(-np.mean(norm.logpdf(y, mean, deviation)))
    assert report.rmse == pytest.approx(np.sqrt(np.mean((mean - y) ** 2)))


def test_calibration_of_the_truth_is_exact_and_of_boasting_is_not():
    y = rng().normal(size=20000)
    honest, boasting = (calibration(np.zeros(20000), np.full(20000, d), y) for d in (1.0, 0.5))
    assert list(honest.within.values()) == pytest.approx([0.5, 0.8, 0.95], abs=0.01)
    assert boasting.within[0.95] < 0.75
    assert honest.nll < boasting.nll


@pytest.mark.parametrize("deviation", [np.zeros(3), np.ones(4)])
def test_calibration_explains_what_it_cannot_use(deviation):
    with pytest.raises(InputError, match="positive deviations"):
        calibration(np.zeros(3), deviation, np.zeros(3))


@needs_packages
def test_the_choice_falls_on_what_predicts_held_out_rows():
    x, twist = curved(60, noise=0.05)
    line = x @ np.array([1.0, 2.0, -1.0, 0.5, 0.0]) + 0.05 * rng().normal(size=60)
    both = (ridge, svr)
    straight, twisted = (choose_predictor(x, y, rng(), both) for y in (line, twist))
    assert (straight.learner, twisted.learner) == both
    assert straight.predictor.predict(x)[0] == pytest.approx(line, abs=0.2)
    assert np.abs(twisted.predictor.predict(x)[0] - twist).mean() < 0.2
    assert set(twisted.reports) == {"ridge", "svr"}
    assert twisted.reports["svr"].rmse < twisted.reports["ridge"].rmse


def test_the_reports_are_those_of_fold_by_fold_fits():
    x, y = curved(31)
    chosen = choose_predictor(x, y, rng(), (ridge,), folds=4)
    folds = rng().permutation(np.arange(31) % 4)
    errors = [
        float(Ridge.fit(x[folds != f], y[folds != f]).predict(x[i : i + 1])[0] - y[i]) for i, f in enumerate(folds)
    ]
    assert chosen.reports["ridge"].rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    mean, _ = held_out(ridge, x, y, folds, rng())
    assert mean - y == pytest.approx(errors)
    assert np.array_equal(chosen.predictor.predict(x)[0], Ridge.fit(x, y).predict(x))


@pytest.mark.parametrize(("n", "learners", "folds"), [(9, (ridge,), 5), (20, (), 5), (20, (ridge,), 1)])
def test_a_choice_from_too_little_is_refused(n, learners, folds):
    with pytest.raises(InputError, match="expected at least 10 rows"):
        choose_predictor(*curved(n), rng(), learners, folds)


@pytest.mark.parametrize("learner", LEARNERS[1:], ids=ids[1:])
def test_a_missing_package_is_named(learner, monkeypatch):
    modules = ("exceptions", "gaussian_process", "gaussian_process.kernels", "model_selection", "ensemble", "svm")
    for name in ("sklearn", *(f"sklearn.{module}" for module in modules)):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"scikit-learn.*predictors"):
        learner.fit(*curved(20), rng())


def test_ridge_and_the_package_need_no_further_package():
    code = (
        "import sys, numpy; from mimar.predict import ridge;"
        "ridge.fit(numpy.eye(6), numpy.arange(6.0), numpy.random.default_rng(0)).predict(numpy.eye(6));"
        "print([name for name in ('sklearn', 'scipy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_packages
def test_a_gaussian_process_doubts_a_fit_that_its_own_rows_contradict():
    """Leave-one-out figures in closed form equal those of refitting without the row at the same kernel."""
    from sklearn.base import clone
    from sklearn.gaussian_process import GaussianProcessRegressor

    draws = np.random.default_rng(3)
    x = draws.integers(0, 2, (24, 8)).astype(float)
    y = x[:, 0] + draws.standard_t(1.2, 24)
    fitted = gaussian_process.fit(x, y, draws)
    inputs, targets = fitted._rows(x), fitted.scaling.targets(y)
    z = []
    for out in range(len(y)):
        rest = np.arange(len(y)) != out
        model = GaussianProcessRegressor(clone(fitted.model.kernel_), alpha=fitted.model.alpha, optimizer=None)
        mean, deviation = model.fit(inputs[rest], targets[rest]).predict(inputs[~rest], return_std=True)
        z.append((targets[out] - mean[0]) / deviation[0])
    assert fitted.doubt == pytest.approx(max(1.0, np.sqrt(np.mean(np.square(z)))), rel=1e-4)
    assert fitted.doubt > 1.0
    plain = fitted.scaling.spread * fitted.model.predict(inputs, return_std=True)[1]
    assert fitted.predict(x)[1] == pytest.approx(fitted.doubt * plain)
    sure = gaussian_process.fit(x, x @ np.arange(8.0) + 0.01 * draws.normal(size=24), draws)
    assert sure.doubt < 1.5
