"""Models measured on texts and tasks: pictures and a table."""

import xml.etree.ElementTree as ET

import pytest

from mimar.report import quality_svg
from mimar.report._measured import measured_section

SVG = "{http://www.w3.org/2000/svg}"


def stairs(root, colour):
    return [path.get("d") for path in root.findall(f"{SVG}path") if path.get("stroke") == colour]


@pytest.mark.parametrize("name", ["a <b>.txt", "arc_easy"])
def test_fronts_are_of_what_was_found_and_of_all(measured, name):
    """Of less perplexity and of more right answers alike: two of three found are on the front, and the 4-bit file of
    the parent and the parent itself on that of all.
    """
    root = ET.fromstring(quality_svg(measured, name))
    (found,), (everything,) = stairs(root, "#0b6bb5"), stairs(root, "#2e7d32")
    assert found.count("H") == everything.count("H") == 1
    heights = [float(part) for part in found.removeprefix("M").replace("V", ",").replace("H", ",").split(",")[1::2]]
    up = heights[-1] < heights[0]
    assert up == (name == "arc_easy")
    dots = root.findall(f"{SVG}circle")
    assert len(dots) == 3 + 1  # and one in the legend
    names = {node.text for node in root.iter(f"{SVG}text")}
    assert {"parent", "shortgpt", "parent Q4_0"} <= names


def test_standard_errors_are_bars(measured):
    def bars(name):
        return [each for each in ET.fromstring(quality_svg(measured, name)).iter(f"{SVG}line") if is_bar(each)]

    def is_bar(each):
        return each.get("stroke") == "#9aa4ae" and each.get("x1") == each.get("x2")

    assert len(bars("arc_easy")) == 6
    assert bars("a <b>.txt") == []


def test_the_section_has_a_picture_for_each_and_escapes_names(measured):
    html = measured_section(measured)
    assert html.count("<svg") == 2
    assert "a &lt;b&gt;.txt" in html
    assert "<b>" not in html
    assert "0.45 ± 0.05" in html
    assert measured_section(None) == ""
