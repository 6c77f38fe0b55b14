"""A language model as a score: where it places a network among fixed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import numpy as np

from mimar.errors import CandidateError, InputError
from mimar.proxies._contract import Cost, Need
from mimar.proxies._inputs import ProxyInputs, Subject
from mimar.proxies.judge._anchors import Anchors
from mimar.proxies.judge._panel import Panel
from mimar.proxies.judge._strength import placed

JUDGE: Final = "llm-judge"
"""The name of the score."""

NEWCOMERS: Final = 8
"""Networks that are placed with one list, beside the anchors."""


@final
class LLMJudge:
    """A `Proxy`: the strength (Bradley–Terry) of a network, from how a language model ranks it among `anchors`.

    A list holds the anchors and up to 8 others. Only comparisons with anchors count, so that a value does not depend
    on which others shared the list, and it is kept: a network is judged once, known by its description. `prepare`
    judges the networks that are not known yet, 8 at a time; one that was never announced is judged by itself.
    `panel` None, and every copy in another process: nothing new can be judged, only what is known be told.

    `prepare` raises what `Panel.ask` raises. A score raises CandidateError where no answer placed the network.
    """

    def __init__(self, anchors: Anchors, panel: Panel | None) -> None:
        self._anchors = anchors
        self._panel = panel
        self._known: dict[str, float | None] = dict(zip(anchors.descriptions, anchors.strengths, strict=True))

    @property
    def anchors(self) -> Anchors:
        """The networks among which others are placed."""
        return self._anchors

    @property
    def name(self) -> str:
        """``llm-judge``."""
        return JUDGE

    @property
    def needs(self) -> frozenset[Need]:
        """Shapes alone, in words."""
        return frozenset({"shapes"})

    @property
    def cost(self) -> Cost:
        """Calls to a language model."""
        return "language model"

    @property
    def higher_is_better(self) -> bool:
        """It is."""
        return True

    @property
    def source(self) -> str:
        """Where the score comes from."""
        return "this project: ranked by a language model; Bradley and Terry, 1952"

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Judge those that are not known yet."""
        new = [text for text in dict.fromkeys(subject.description for subject in subjects) if text not in self._known]
        if self._panel is not None:
            for start in range(0, len(new), NEWCOMERS):
                self._place(self._panel, new[start : start + NEWCOMERS])

    def __call__(self, inputs: ProxyInputs) -> float:
        description = inputs.subject.description
        if description not in self._known:
            self.prepare([inputs.subject])
        if description not in self._known:
            raise InputError("this judge has no language model here: let it prepare for the network where it has one")
        value = self._known[description]
        if value is None:
            raise CandidateError("no answer of the language model placed it among the anchors")
        return value

    def __reduce__(self) -> tuple[object, tuple[Anchors, dict[str, float | None]]]:
        return _informed, (self._anchors, self._known)

    def _place(self, panel: Panel, new: Sequence[str]) -> None:
        fixed = self._anchors
        rates = panel.ask([*fixed.descriptions, *new]).rates()
        count = len(fixed.descriptions)
        values = [placed(rates[count + i, :count], np.array(fixed.strengths)) for i in range(len(new))]
        self._known |= zip(new, values, strict=True)


def _informed(anchors: Anchors, known: dict[str, float | None]) -> LLMJudge:
    """A copy without a language model that knows what the original knew."""
    judge = LLMJudge(anchors, None)
    judge._known |= known
    return judge
