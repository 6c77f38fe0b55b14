"""The networks among which a judge places all others, fixed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mimar.errors import InputError, ReplyError
from mimar.proxies._inputs import Subject
from mimar.proxies.judge._panel import Panel
from mimar.proxies.judge._strength import strengths

FEWEST_ANCHORS = 4


@dataclass(frozen=True, slots=True)
class Anchors:
    """Descriptions of different networks and their strengths, in no particular order.

    consistency: mean Kendall τ between the answers that fixed the strengths, and what random ones reach by `chance` in
    one of 100 cases; None with fewer than two. answers: how many there were.
    """

    descriptions: tuple[str, ...]
    strengths: tuple[float, ...]
    consistency: float | None
    chance: float | None
    answers: int

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal one."""
        pairs = zip(self.descriptions, self.strengths, strict=True)
        return {
            "anchors": [{"description": description, "strength": strength} for description, strength in pairs],
            "self_consistency": self.consistency,
            "chance": self.chance,
            "answers": self.answers,
        }

    @classmethod
    def from_json(cls, data: Any) -> Anchors:
        """The ones in `data`; InputError when it does not have the form of `to_json`."""
        try:
            listed = [(str(entry["description"]), float(entry["strength"])) for entry in data["anchors"]]
            consistency, chance = (_number_or_none(data[name]) for name in ("self_consistency", "chance"))
            answers = int(data["answers"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"anchors of a judge must have description and strength, self_consistency, chance and answers, got "
                f"{str(data)[:80]}; fit them anew with fit_anchors"
            ) from error
        return cls(tuple(text for text, _ in listed), tuple(value for _, value in listed), consistency, chance, answers)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def fit_anchors(panel: Panel, subjects: Sequence[Subject]) -> Anchors:
    """Anchors of the different networks among `subjects`, ranked by `panel` as one list; about 12 do.

    InputError for fewer than four, ReplyError where no answer could be used, and what `Panel.ask` raises.
    """
    descriptions = tuple(dict.fromkeys(subject.description for subject in subjects))
    if len(descriptions) < FEWEST_ANCHORS:
        raise InputError(
            f"a judge places networks among at least {FEWEST_ANCHORS} different ones, got {len(descriptions)}: allow "
            "the space more choices, or relax the budgets"
        )
    ballots = panel.ask(descriptions)
    if not ballots.rankings:
        raise ReplyError(
            f"{panel.llm.name} gave no usable ranking of {len(descriptions)} networks ({ballots.complaint}): choose "
            "another model, or another score"
        )
    found = strengths(ballots.rates())
    return Anchors(descriptions, tuple(map(float, found)), ballots.consistency, ballots.chance, len(ballots.rankings))
