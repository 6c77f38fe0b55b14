"""How many questions of a task a model answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mimar.tasks import Encode, Items, Request, TaskScore, requests, score

if TYPE_CHECKING:
    from mimar.elastic import Parent


def answered(model: Parent, part: Items, encode: Encode) -> TaskScore:
    """The score of `model` in a task. encode: text → tokens, with those that the tokenizer begins every text with."""
    from mimar.elastic import log_likelihoods

    def asked(given: Sequence[Request]) -> Sequence[float]:
        return log_likelihoods(model, [(each.context, each.continuation) for each in given])

    return score(part.task, part.items, requests(part.task, part.items, encode), asked)
