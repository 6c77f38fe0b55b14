"""The process over choices: against an independent computation, on numbers and words, and its doubt."""

import numpy as np
import pytest

from mimar.predict import ChoiceProcess

WORDS = {f"edge_{index}": ("none", "conv", "skip 1", "pooling") for index in range(4)}
NUMBERS = {f"layer_{index}": (0, 7, 10, 13, 16) for index in range(6)}


def rows_of(variables, count, seed):
    rng = np.random.default_rng(seed)
    return [
        {name: options[int(rng.integers(len(options)))] for name, options in variables.items()} for _ in range(count)
    ]


def additive(row):
    return sum((index + 1) * (len(str(choice)) if isinstance(choice, str) else choice**1.5) for index, choice in
               enumerate(row.values()))  # fmt: skip


def coupled(row):
    values = list(row.values())
    return sum(float(a == b == "conv") - float(a == "none" and b == "skip 1") for a, b in zip(values, values[1:]))  # noqa: B905, RUF007


def error(variables, truth, count):
    train, test = rows_of(variables, count, 0), rows_of(variables, 200, 1)
    y = np.asarray([truth(row) for row in train], dtype=float)
    mean, deviation = ChoiceProcess.fit(variables, train, y).predict(test)
    wanted = np.asarray([truth(row) for row in test])
    return np.sqrt(np.mean((mean - wanted) ** 2)) / wanted.std(), np.abs(mean - wanted) / deviation


@pytest.mark.parametrize(("variables", "truth", "limit"), [
    (WORDS, additive, 0.01), (NUMBERS, additive, 0.05), (WORDS, coupled, 0.35),
], ids=["words", "numbers", "interactions"])  # fmt: skip
def test_learns_what_there_is_from_eighty_rows(variables, truth, limit):
    relative, in_deviations = error(variables, truth, 80)
    assert relative < limit
    assert np.mean(in_deviations < 3) > 0.9


def test_what_an_option_is_worth_in_every_layer_is_learnt_from_few_rows():
    """Seventy-two weights from fifteen rows: only the counts of the options can tell."""
    variables = {f"layer_{index}": ("conv", "skip 1", "pooling", "none", "wide", "narrow") for index in range(12)}

    def count(row):
        return sum(len(choice) for choice in row.values())

    assert error(variables, count, 15)[0] < 0.1
    apart = {name: (*options, name) for name, options in variables.items()}  # no two have the same options
    assert error(apart, count, 15)[0] > 0.5


def test_the_one_width_is_not_lost_among_the_heads_of_all_layers():
    variables = {"width": (192, 384, 768)} | {f"heads_{index}": (4, 8, 12) for index in range(24)}

    def wide(row):
        return row["width"] + 0.1 * sum(choice for name, choice in row.items() if name != "width")

    assert error(variables, wide, 8)[0] < 0.2


@pytest.mark.parametrize(("truth", "pooled"), [(lambda row: list(row.values()).count("conv"), True), (coupled, False)])
def test_one_setting_is_gaussian_process_regression_written_out(truth, pooled):
    rows, new = rows_of(WORDS, 30, 2), rows_of(WORDS, 9, 3)
    y = np.asarray([truth(row) for row in rows]) + 0.01 * np.random.default_rng(4).normal(size=30)
    process = ChoiceProcess.fit(WORDS, rows, y)
    setting = next(iter(process.weights))
    alone = ChoiceProcess(process.levels, process.members[:1], {setting: 1.0}, process.mean, process.spread)
    assert (setting.view.pooled > 0) == pooled

    def product(x, z):
        own = np.mean([x[name] == z[name] for name in WORDS])
        pairs = sum((a == b) - 1 / 4 for a in x.values() for b in z.values()) / len(WORDS)
        return (1 - setting.view.pooled) * own + setting.view.pooled * pairs

    def kernel(x, z):
        distance = (product(x, x) + product(z, z)) / 2 - product(x, z)
        return setting.share * product(x, z) + (1 - setting.share) * np.exp(-setting.interaction * distance)

    def kernels(a, b):
        return np.asarray([[kernel(x, z) for z in b] for x in a])

    scaled = (y - y.mean()) / y.std()
    inverse = np.linalg.inv(kernels(rows, rows) + setting.noise * np.eye(30))
    scale = scaled @ inverse @ scaled / 30
    across = kernels(new, rows)
    before = np.asarray([kernel(x, x) for x in new])
    variance = scale * (before + setting.noise - np.diag(across @ inverse @ across.T))
    mean, deviation = alone.predict(new)
    np.testing.assert_allclose(mean, y.mean() + y.std() * (across @ inverse @ scaled), rtol=1e-6)
    np.testing.assert_allclose(deviation, y.std() * np.sqrt(variance), rtol=1e-4)


def test_weights_are_a_distribution_and_the_likeliest_setting_comes_first():
    weights = list(ChoiceProcess.fit(NUMBERS, rows_of(NUMBERS, 40, 5), np.arange(40.0)).weights.values())
    assert sum(weights) == pytest.approx(1.0)
    assert weights == sorted(weights, reverse=True)


def test_a_number_between_choices_is_predicted_between_them():
    train = rows_of(NUMBERS, 80, 6)
    process = ChoiceProcess.fit(NUMBERS, train, np.asarray([additive(row) for row in train]))
    base = dict.fromkeys(NUMBERS, 10)
    low, middle, high = process.predict([base | {"layer_5": value} for value in (10, 11.5, 13)])[0]
    assert low < middle < high


def test_settings_can_be_taken_over():
    train = rows_of(NUMBERS, 60, 7)
    y = np.asarray([additive(row) for row in train])
    first = ChoiceProcess.fit(NUMBERS, train[:40], y[:40])
    again = ChoiceProcess.fit(NUMBERS, train, y, like=first)
    assert again.weights == first.weights
    assert not np.array_equal(again.predict(train[50:])[0], first.predict(train[50:])[0])


def test_what_never_varies_is_predicted_without_complaint():
    rows = rows_of(WORDS, 12, 8)
    mean, deviation = ChoiceProcess.fit(WORDS, rows, np.full(12, 3.0)).predict(rows)
    assert mean == pytest.approx(np.full(12, 3.0))
    assert np.isfinite(deviation).all()


def test_a_number_between_choices_is_doubted_no_more_than_one_of_them_where_both_were_measured():
    variables = {f"v{index}": (1, 2) for index in range(6)}
    rng = np.random.default_rng(0)
    rows = [dict.fromkeys(variables, 1.5), *({name: int(rng.integers(1, 3)) for name in variables} for _ in range(30))]
    y = np.asarray([sum(row.values()) for row in rows], dtype=float)
    between, listed = ChoiceProcess.fit(variables, rows, y).predict(rows[:2])[1]
    assert between < 2 * listed
