"""Studies side by side: one frame, equal numbers of evaluations, a rank test between groups."""

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from mimar.errors import InputError
from mimar.objectives import Objective
from mimar.report import Contender, compare
from mimar.trial import Proposal, Trial

OBJECTIVES = (Objective("quality", "max"), Objective("cost", "min"))


def contender(name, points, group="one", objectives=OBJECTIVES, failed=()):
    trials = [
        Trial(
            number, Proposal(number, "random"), "failed" if number in failed else "complete", {"quality": q, "cost": c}
        )
        for number, (q, c) in enumerate(points)
    ]
    return Contender(name, group, objectives, tuple(trials))


def drawn(name, group, seed, bonus, count=30):
    rng = np.random.default_rng(seed)
    return contender(name, [(float(q) + bonus, float(c)) for q, c in rng.random((count, 2))], group)


def test_all_are_measured_in_one_frame_at_the_length_of_the_shortest():
    long = contender("long", [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
    short = contender("short", [(0.5, 0.0), (0.0, 0.5)])
    found = compare([long, short])
    assert found.evaluations == 2
    assert found.reference.point == (0.0, 1.0)  # worst quality and cost of all, as losses
    assert found.reference.ideal == (-1.0, 0.0)
    first, second = found.studies
    assert (first.evaluated, first.hypervolume, first.final) == (3, 0.25, 1.0)
    assert (second.evaluated, second.hypervolume, second.final) == (2, 0.5, 0.5)
    assert (first.best, second.best) == ({"quality": 1.0, "cost": 0.0}, {"quality": 0.5, "cost": 0.0})
    assert (first.on_front, second.on_front) == (1, 0)
    assert found.curves == {"long": (0.0, 0.25, 1.0), "short": (0.5, 0.5)}


def test_failed_trials_are_no_evaluations():
    found = compare([contender("a", [(9.0, 0.0), (0.1, 1.0)], failed=(0,)), contender("b", [(0.0, 2.0), (0.5, 1.0)])])
    assert found.evaluations == 1
    assert found.reference.ideal == (-0.5, 1.0)


def test_groups_are_held_to_the_best_by_a_rank_test():
    strong = [drawn(f"s{seed}", "strong", seed, 0.5) for seed in range(6)]
    weak = [drawn(f"w{seed}", "weak", 100 + seed, 0.0) for seed in range(5)]
    alone = drawn("alone", "alone", 7, 0.1)
    found = compare([*weak, alone, *strong])
    rows = {row.group: row for row in found.groups}
    assert found.groups[0].group == "strong"
    assert rows["strong"].wins is rows["strong"].p_value is None
    assert rows["alone"].wins is rows["alone"].p_value is None
    assert (rows["strong"].studies, rows["weak"].studies) == (6, 5)
    values = {row.name: row.hypervolume for row in found.studies}
    ours, best = ([values[each.name] for each in part] for part in (weak, strong))
    assert rows["weak"].p_value == pytest.approx(mannwhitneyu(ours, best, method="exact").pvalue)
    assert rows["weak"].p_value < 0.01
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(ours, best)]
    assert rows["weak"].wins == pytest.approx(np.mean(pairs))
    assert (rows["weak"].median, rows["weak"].low, rows["weak"].high) == (np.median(ours), min(ours), max(ours))


def test_order_of_the_studies_changes_nothing():
    studies = [drawn(str(seed), str(seed % 2), seed, 0.1 * (seed % 2)) for seed in range(5)]
    forth, back = compare(studies), compare(studies[::-1])
    assert forth.groups == back.groups
    assert set(map(str, forth.studies)) == set(map(str, back.studies))


@pytest.mark.parametrize(
    ("studies", "message"),
    [
        ([contender("a", [(1.0, 1.0)])], "two or more different studies"),
        ([contender("a", [(1.0, 1.0)])] * 2, "two or more different studies to compare, got a, a"),
        ([contender("a", [(1.0, 1.0)]), contender("b", [])], "b holds no evaluated trial yet"),
        (
            [contender("a", [(1.0, 1.0)]), contender("b", [(1.0, 1.0)], objectives=OBJECTIVES[::-1])],
            "a has quality, cost; b has cost, quality",
        ),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(studies, message):
    with pytest.raises(InputError, match=message):
        compare(studies)
