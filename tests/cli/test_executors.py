"""`mimar design --executor`: the same trials wherever candidates are evaluated."""

from __future__ import annotations

import pytest

ASKED = ("--trials", 16, "--max-params", "30M", "--strategy", "nsga2")


def found(outcome):
    """What a search found, wall times aside."""
    return [(member["id"], member["architecture"], member["metrics"]) for member in outcome.json["front"]]


def test_processes_give_the_same_front_as_one(design) -> None:
    serial = design(*ASKED, "--study", "serial.db")
    assert found(design(*ASKED, "--study", "process.db", "--executor", "process", "--workers", 2)) == found(serial)


@pytest.mark.slow
def test_ray_gives_the_same_front_too_and_the_study_goes_on_without_it(design) -> None:
    serial = design(*ASKED, "--study", "serial.db")
    ray = design(*ASKED, "--study", "ray.db", "--executor", "ray", "--candidate-takes", "CPU=0.5")
    assert found(ray) == found(serial)
    more = ("--resume", "--trials", 24)
    assert found(design("--study", "ray.db", *more)) == found(design("--study", "serial.db", *more))


def test_a_candidate_beyond_its_time_fails_and_the_search_ends(design) -> None:
    asked = ("--executor", "process", "--workers", 1, "--candidate-time", "1ms", "--score", "zerolm_weights")
    result = design(*ASKED, *asked, "--trials", 1).json
    assert result["stopped"] == "nothing new found"
    assert result["trials"] == 0
    assert result["failed"] == 10
    assert result["front"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--executor", "cloud"], ["unknown executor 'cloud'", "serial, process, ray, ray:ADDRESS"]),
        (["--executor", "process:2"], ["unknown executor 'process:2'"]),
        (["--workers", "2"], ["--workers is for --executor process, not for serial"]),
        (["--executor", "process", "--candidate-takes", "CPU=1"], ["--candidate-takes is for --executor ray"]),
        (["--candidate-time", "3"], ["need --executor process or ray"]),
        (["--executor", "process", "--candidate-memory", "much"], ["--candidate-memory must be a size"]),
        (["--executor", "ray", "--candidate-takes", "CPU=some"], ["--candidate-takes must be", "'CPU=some'"]),
        (["--executor", "ray", "--candidate-takes", "GPU=1.5"], ["in whole numbers", "'GPU=1.5'"]),
        (["--executor", "ray", "--candidate-takes", "memory=4"], ["--candidate-memory limits memory"]),
        (["--executor", "ray:127.0.0.1:1"], ["no Ray cluster at 127.0.0.1:1"]),
        pytest.param(
            ["--executor", "ray", "--candidate-takes", "CPU=1,fast=64"],
            ["a candidate takes 1 CPU and 64 fast", "0 fast: give --candidate-takes less"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_does_not_go_together_is_refused(mimar, tmp_path, options, words) -> None:
    mimar("design", *options).refused(2, *words)
    assert not list(tmp_path.glob("study.db*"))
