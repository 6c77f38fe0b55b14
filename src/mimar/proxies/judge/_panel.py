"""One list, asked for several times in shuffled order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimar.errors import ProviderError, RateLimitError, ReplyError
from mimar.llm import LLM, RejectedError
from mimar.proxies.judge._prompt import rank_call, ranking_in, salvaged
from mimar.proxies.judge._strength import Ballots

REPEATS = 3
ASKED_PER_ANSWER = 2
"""A list is asked for at most this many times for each answer that is wanted."""

OUTAGE = 3
"""Failures of the provider in a row after which it counts as gone."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Asks `llm` to rank lists of networks.

    setting: how the networks are trained and judged, in sentences of the prompt.
    seed, repeats: a list is shuffled anew for each of its `repeats` answers. The orders and the seeds of the calls
      follow from `seed` and from what is in the list, not from what was asked before.
    """

    llm: LLM
    setting: str
    seed: int = 0
    repeats: int = REPEATS

    def ask(self, descriptions: Sequence[str]) -> Ballots:
        """Rankings of the networks that `descriptions` describe.

        Where a reply cannot be used or the provider fails, the list is asked for again, twice as often as answers are
        wanted; what is still missing then is missing in the result. Raises the provider's error where it fails three
        times in a row, and at once an LLMError that asking again cannot help (no key, cost limit, refused request,
        replay).
        """
        rankings: list[tuple[int, ...]] = []
        failures, complaint = 0, ""
        for attempt in range(ASKED_PER_ANSWER * self.repeats):
            if len(rankings) == self.repeats:
                break
            try:
                rankings.append(self._answer(descriptions, attempt))
                failures = 0
            except ReplyError as error:
                failures, complaint = 0, str(error)
            except RejectedError:
                raise
            except (ProviderError, RateLimitError):
                failures += 1
                if failures == OUTAGE:
                    raise
        return Ballots(len(descriptions), tuple(rankings), complaint)

    def _answer(self, descriptions: Sequence[str], attempt: int) -> tuple[int, ...]:
        """One ranking; ReplyError where the reply has none."""
        known = sorted(range(len(descriptions)), key=lambda place: descriptions[place])
        rng = np.random.default_rng([self.seed, attempt, _number_of([descriptions[place] for place in known])])
        order = [known[int(index)] for index in rng.permutation(len(known))]
        call = rank_call(self.setting, [descriptions[place] for place in order], int(rng.integers(2**31)))
        try:
            reply = call.ask(self.llm)
            shown, complaint = ranking_in(reply.parsed, len(order)), "the reply ranks less than half of the list"
        except ReplyError as error:
            shown, complaint = salvaged(error.reply, len(order)), str(error)
        if shown is None:
            raise ReplyError(complaint)
        return tuple(order[place] for place in shown)


def _number_of(descriptions: Sequence[str]) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(descriptions).encode()).digest()[:8])
