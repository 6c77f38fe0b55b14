"""Dominance, ranks, crowding and indicators, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mimar import pareto
from mimar.pareto import Reference, RunningFront

# Few distinct values, so that ties and equal points are common.
coordinates = st.integers(0, 8).map(lambda value: value / 8)


def clouds(least=0):
    shapes = st.tuples(st.integers(least, 16), st.integers(1, 4))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=coordinates))


def naive_ranks(points):
    ranks, left, level = np.full(len(points), -1), set(range(len(points))), 0
    while left:
        best = {i for i in left if not any(pareto.dominates(points[j], points[i]) for j in left)}
        ranks[list(best)] = level
        left, level = left - best, level + 1
    return ranks


def unit_frame(points):
    return Reference((1.0,) * points.shape[1], (0.0,) * points.shape[1])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [([1, 1], [1, 2], True), ([1, 1], [1, 1], False), ([1, 2], [2, 1], False), ([0, 0], [1, 1], True)],
)
def test_dominance(a, b, expected):
    assert pareto.dominates(np.array(a, float), np.array(b, float)) is expected


@given(points=clouds())
def test_no_front_member_is_dominated_and_every_other_point_is(points):
    members = set(pareto.front(points).tolist())
    for i, point in enumerate(points):
        assert any(pareto.dominates(other, point) for other in points) is (i not in members)


@given(points=clouds())
def test_ranks_are_those_of_peeling_front_after_front(points):
    ranks = pareto.ranks(points)
    assert ranks.tolist() == naive_ranks(points).tolist()
    assert set(np.flatnonzero(ranks == 0)) == set(pareto.front(points))


@given(points=clouds())
def test_a_dominated_point_ranks_below(points):
    ranks = pareto.ranks(points)
    for i, first in enumerate(points):
        for j, second in enumerate(points):
            if pareto.dominates(first, second):
                assert ranks[i] < ranks[j]


@given(points=clouds(least=1), data=st.data())
def test_hypervolume_never_falls_when_a_point_is_added(points, data):
    extra = data.draw(arrays(np.float64, points.shape[1], elements=coordinates))
    frame = unit_frame(points)
    assert frame.hypervolume(np.vstack([points, extra])) >= frame.hypervolume(points) - 1e-12


@given(points=clouds())
def test_gains_are_not_negative_and_sum_to_the_hypervolume(points):
    gains = unit_frame(points).gains(points)
    assert gains.shape == (len(points),)
    assert np.all(gains >= -1e-12)
    assert gains.sum() == pytest.approx(unit_frame(points).hypervolume(points), abs=1e-12)


@given(points=clouds())
def test_hypervolume_is_the_share_of_cells_that_are_dominated(points):
    m = points.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(8) / 8] * m, indexing="ij"), axis=-1).reshape(-1, m)
    covered = np.zeros(len(cells), dtype=bool)
    for point in points:
        covered |= np.all(cells >= point, axis=1)
    assert pareto.hypervolume(points, np.ones(m)) == pytest.approx(covered.mean(), abs=1e-12)


def test_only_what_is_better_than_the_reference_counts():
    points = np.array([[0.5, 0.5], [2.0, 0.0], [0.0, 1.0]])
    assert pareto.hypervolume(points, np.ones(2)) == pytest.approx(0.25)
    assert pareto.hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0


def test_the_box_from_ideal_to_point_has_volume_one():
    frame = Reference(point=(10.0, -1.0), ideal=(2.0, -5.0))
    assert frame.hypervolume(np.array([[2.0, -5.0]])) == pytest.approx(1.0)
    assert frame.hypervolume(np.array([[6.0, -3.0]])) == pytest.approx(0.25)
    assert frame.hypervolume(np.array([[2.0, -9.0]])) == pytest.approx(2.0)


def test_crowding_by_hand():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert pareto.crowding_distance(points).tolist() == [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, np.inf]


@given(points=clouds())
def test_crowding_is_infinite_at_both_ends_of_every_objective(points):
    distance = pareto.crowding_distance(points)
    assert distance.shape == (len(points),)
    assert np.all(distance >= 0)
    for column in points.T if len(points) else ():
        for end in (column.min(), column.max()):
            assert np.isinf(distance[column == end]).any()


def test_igd_plus():
    target = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert pareto.igd_plus(target, target) == 0.0
    assert pareto.igd_plus(target - 1.0, target) == 0.0  # better than the target is no distance
    assert pareto.igd_plus(target + np.array([0.3, 0.4]), target) == pytest.approx(0.5)
    assert pareto.igd_plus(np.empty((0, 2)), target) == np.inf


@given(points=arrays(np.float64, st.tuples(st.integers(0, 600), st.just(3)), elements=st.integers(0, 12).map(float)))
@settings(max_examples=30, deadline=None)
def test_gains_of_many_at_once_are_those_of_one_by_one(points):
    frame = Reference((10.0, 10.0, 10.0), (0.0, 0.0, 0.0))
    running = RunningFront(frame)
    assert frame.gains(points).tolist() == [running.add(point) for point in points]
    assert running.covers(points).all()
