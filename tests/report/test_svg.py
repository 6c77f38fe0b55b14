"""The static picture: well-formed, complete, inside its frame."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from mimar.errors import UnknownNameError
from mimar.objectives import Budget, front_trials
from mimar.pareto import Reference
from mimar.report import front_svg, lines_svg
from mimar.report._axis import axis_over

SVG = "{http://www.w3.org/2000/svg}"


def picture(data, x="memory_bytes", y="score"):
    return ET.fromstring(front_svg(data, x, y))


def test_every_trial_is_drawn_inside_the_picture(data):
    root = picture(data)
    dots = root.findall(f"{SVG}circle")
    evaluated = sum(trial.status == "complete" for trial in data.trials)
    assert len(dots) == evaluated + len(front_trials(data.trials, data.objectives)) + 2
    width, height = (float(root.get(side)) for side in ("width", "height"))
    assert all(0 < float(dot.get("cx")) < width and 0 < float(dot.get("cy")) < height for dot in dots)


def test_budget_and_familiar_shape_are_drawn(data):
    def marks(picture):
        dashed = [line for line in picture.findall(f"{SVG}line") if line.get("stroke-dasharray") == "6 4"]
        return len(dashed), "GPT-2 small" in [text.text for text in picture.findall(f"{SVG}text")]

    assert marks(picture(data)) == (1, True)
    assert marks(picture(data, "memory_bytes", "decode_tokens_per_second")) == (2, True)
    assert marks(picture(replace(data, budgets=(), familiar=()))) == (0, False)


def test_names_of_familiar_shapes_do_not_hide_each_other(data):
    """Two shapes at one place have their names at different ones; one that is alone has it below."""
    shape = data.familiar[0]

    def names(familiar):
        found = [node for node in picture(replace(data, familiar=familiar)).iter(f"{SVG}text") if node.text in "abc"]
        return [(float(node.get("x")), float(node.get("y"))) for node in found]

    (alone,) = names((replace(shape, name="a"),))
    crowd = names(tuple(replace(shape, name=name) for name in "abc"))
    assert crowd[0] == alone
    assert all(abs(x - u) > 7 or abs(y - v) > 13 for i, (x, y) in enumerate(crowd) for u, v in crowd[:i])


def test_attainment_line_only_for_two_objectives(data):
    two = replace(data, objectives=data.objectives[:2], reference=Reference((0.0, 4e8), (-10.0, 0.0)), familiar=())
    stairs = [path.get("d") for path in picture(two).findall(f"{SVG}path") if path.get("fill") == "none"]
    assert len(stairs) == 1
    assert stairs[0].count("H") == len(front_trials(two.trials, two.objectives)) - 1
    assert not [path for path in picture(data).findall(f"{SVG}path") if path.get("fill") == "none"]


def test_hostile_names_stay_text(hostile, hostile_texts):
    root = picture(hostile)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "rect", "line", "text", "circle", "path",
    }  # fmt: skip
    assert hostile_texts[0] in [text.text for text in root.findall(f"{SVG}text")]


def test_empty_study_and_study_of_one(make_study, data):
    assert picture(make_study(())).tag == f"{SVG}svg"
    assert picture(replace(make_study(data.trials[:1]), familiar=(), budgets=())).tag == f"{SVG}svg"


def test_unknown_metric_is_named(data):
    with pytest.raises(UnknownNameError, match="unknown metric 'speed': expected one of params"):
        front_svg(data, "speed", "score")


def test_floor_budget_shades_what_lies_below(data):
    bounded = replace(data, budgets=(Budget("score", "min", 7.5),))
    dashed = next(line for line in picture(bounded).findall(f"{SVG}line") if line.get("stroke-dasharray") == "6 4")
    shade = next(rect for rect in picture(bounded).findall(f"{SVG}rect") if rect.get("fill-opacity") == "0.08")
    assert float(shade.get("y")) == float(dashed.get("y1"))


def test_axis_is_logarithmic_when_values_span_much():
    wide, narrow = axis_over([1.0, 1000.0]), axis_over([10.0, 20.0])
    assert wide.log
    assert not narrow.log
    assert not axis_over([-1.0, 1000.0]).log
    assert {1.0, 2.0, 5.0, 100.0, 1000.0} <= set(wide.ticks())
    assert narrow.ticks() == pytest.approx([10.0, 12.0, 14.0, 16.0, 18.0, 20.0], rel=0.01)
    assert wide.place(wide.low) == 0
    assert wide.place(wide.high) == 1


def test_axis_of_nothing_or_of_one_value():
    assert axis_over([]).ticks()
    assert axis_over([3.0]).low < 3.0 < axis_over([3.0]).high
    assert axis_over([0.0, float("nan")]).low < 0.0


def test_lines_are_named_apart_and_stay_inside():
    lines = {f"line {index}": [(10, 0.5), (100, 0.2 + index / 1000)] for index in range(8)}
    drawn = lines_svg("A title <b>", "evaluations", "missing", lines)
    root = ET.fromstring(drawn)
    names = {
        e.text: float(e.get("y")) for e in root.iter() if e.tag.endswith("text") and (e.text or "").startswith("line")
    }
    assert set(names) == set(lines)
    heights = sorted(names.values())
    assert min(b - a for a, b in pairwise(heights)) >= 17
    assert 0 < heights[0] < heights[-1] < 520
    assert "<b>" not in drawn
    assert sum(e.tag.endswith("path") for e in root.iter()) == 8


def test_long_names_and_long_flat_lines_leave_room():
    name = "/a/folder/" + "x" * 90 + "/study.db"
    lines = {name: [(i, 0.25 if i < 500 else 0.5) for i in range(1, 1001)], f"{name}/": [(1, 0.3), (1000, 0.4)]}
    lines = {key.replace("/study.db/", "x/study.db"): line for key, line in lines.items()}
    root = ET.fromstring(lines_svg("t", "x", "y", lines))
    texts = [e.text for e in root.iter(f"{SVG}text")]
    short, other = (text for text in texts if "…" in (text or ""))
    assert short == other
    assert short.startswith("/a/folder/")
    assert short.endswith("/study.db")
    dots = [float(e.get("cx")) for e in root.iter(f"{SVG}circle")]
    assert len(dots) == 4 + 2  # both ends of two plateaus, and the other line
    assert max(dots) > 430  # of a picture 860 wide
