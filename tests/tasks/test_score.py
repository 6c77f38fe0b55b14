"""Accuracy, plain and by length, its error, and what chance gives."""

import json
import math
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import CandidateError, InputError
from mimar.tasks import TASKS, Item, requests, score

PAIR = (
    Item("short wins", "Why?", ("no", "because it rained"), 0),
    Item("long wins", "Why?", ("no", "because it rained"), 1),
)
SUMS = [-2.0, -3.4, -2.0, -3.4]  # the short choice is likelier; a character of the long one is


def scored(name, items, sums):
    task = TASKS[name]
    return score(task, items, requests(task, items, lambda text: text.encode()), lambda asked: sums)


def test_accuracy_takes_the_highest_sum_and_the_highest_a_character():
    items = (*PAIR, PAIR[1])
    got = scored("arc_easy", items, [*SUMS, -2.0, -3.4])
    assert (got.name, got.items) == ("arc_easy", 3)
    assert got.accuracy == pytest.approx(1 / 3)
    assert got.normalised == pytest.approx(2 / 3)
    assert got.headline_value == got.normalised
    assert got.headline_error == got.normalised_error == pytest.approx(stdev([0, 1, 1]) / math.sqrt(3))


def test_where_the_harness_does_not_normalise_both_are_equal():
    items = (*PAIR, PAIR[1])
    got = scored("truthfulqa", items, [*SUMS, -2.0, -3.4])
    assert got.accuracy == got.normalised == got.headline_value == pytest.approx(1 / 3)
    assert got.accuracy_error == got.normalised_error == got.headline_error


def test_of_equals_the_first_wins():
    assert scored("arc_easy", PAIR, [-1.0, -1.0, -math.inf, -math.inf]).accuracy == 0.5


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_the_error_is_the_standard_error_of_the_mean(right):
    items = tuple(Item(str(place), "Why?", ("a", "b"), int(won)) for place, won in enumerate(right))
    got = scored("arc_easy", items, [-2.0, -1.0] * len(items))
    assert got.accuracy == pytest.approx(sum(right) / len(right))
    assert got.accuracy_error == pytest.approx(stdev(map(int, right)) / math.sqrt(len(right)))


def test_one_item_has_no_error():
    assert scored("arc_easy", PAIR[:1], SUMS[:2]).accuracy_error is None


def test_json_holds_the_fields():
    got = scored("arc_easy", PAIR, SUMS).to_json()
    assert json.loads(json.dumps(got)) == got
    assert got == {
        "name": "arc_easy",
        "items": 2,
        "accuracy": 0.5,
        "accuracy_error": 0.5,
        "normalised": 0.5,
        "normalised_error": 0.5,
        "headline": "normalised",
        "chance": 0.5,
    }


def test_all_requests_are_asked_at_once():
    calls = []
    task = TASKS["arc_easy"]
    asked = requests(task, PAIR, lambda text: text.encode())
    score(task, PAIR, asked, lambda flat: calls.append(flat) or SUMS)
    assert calls == [[*asked[0], *asked[1]]]


def test_what_cannot_be_scored_is_named():
    with pytest.raises(CandidateError, match="arc_easy: the model gives a log-likelihood that is not a number"):
        scored("arc_easy", PAIR, [-1.0, math.nan, -1.0, -1.0])
    with pytest.raises(InputError, match="arc_easy: expected at least one item to score"):
        scored("arc_easy", (), [])
    with pytest.raises(ValueError, match="expected 4 log-likelihoods, got 1"):
        scored("arc_easy", PAIR, [-1.0])
    with pytest.raises(ValueError, match="a request for each choice of each item"):
        score(TASKS["arc_easy"], PAIR, [], lambda asked: [])


def test_chance_is_the_mean_over_items():
    items = (*PAIR, Item("four", "Why?", ("a", "b", "c", "d"), 0))
    assert scored("arc_easy", items, [-1.0] * 8).chance == pytest.approx((0.5 + 0.5 + 0.25) / 3)
