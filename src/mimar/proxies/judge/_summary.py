"""What a judge's calls tell of it, read back from their records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mimar.errors import LLMError, ReplyError
from mimar.llm import CallRecord
from mimar.proxies.judge._prompt import ranking_in, salvaged, shown_in
from mimar.proxies.judge._strength import Ballots

_Network = tuple[str, int]
"""A description, and which of the networks of a list that have it."""


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """calls: asked. answers: of them, usable rankings. candidates: different networks in all lists.

    self_consistency: Kendall τ between the answers to one list, mean over lists; None where none has two answers.
    tokens: of prompts and replies, as billed or as saved by a cache.
    """

    calls: int
    answers: int
    candidates: int
    self_consistency: float | None
    tokens: int

    @property
    def tokens_per_candidate(self) -> float:
        """Tokens of all calls for each different network; 0 without one."""
        return self.tokens / self.candidates if self.candidates else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data, with `tokens_per_candidate`."""
        return {**asdict(self), "tokens_per_candidate": self.tokens_per_candidate}


def judge_summary(records: Sequence[CallRecord]) -> JudgeSummary:
    """The summary of calls that `Panel.ask` made, in any order."""
    lists: defaultdict[tuple[_Network, ...], list[tuple[int, ...]]] = defaultdict(list)
    networks: set[_Network] = set()
    for record in records:
        shown = _networks(shown_in(record.call))
        networks |= set(shown)
        listed = tuple(sorted(shown))
        ranking = _ranking(record, len(shown))
        if ranking is not None:
            lists[listed].append(tuple(listed.index(shown[place]) for place in ranking))
    ballots = [Ballots(len(listed), tuple(rankings)) for listed, rankings in lists.items()]
    return JudgeSummary(
        len(records),
        sum(map(len, lists.values())),
        len(networks),
        _mean(each.consistency for each in ballots),
        sum(record.usage.input_tokens + record.usage.output_tokens for record in records),
    )


def _networks(shown: Sequence[str]) -> tuple[_Network, ...]:
    return tuple((description, shown[:place].count(description)) for place, description in enumerate(shown))


def _ranking(record: CallRecord, count: int) -> tuple[int, ...] | None:
    try:
        return ranking_in(record.outcome().parsed, count)
    except ReplyError as error:
        return salvaged(error.reply, count)
    except LLMError:
        return None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
