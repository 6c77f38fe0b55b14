"""Multiple-choice tasks, judged by the likelihood of each choice.

Prompts, tokens and scores are those of EleutherAI's lm-evaluation-harness, asked without examples (zero-shot). Nothing
here knows a model: it is reached through `encode` and `LogLikelihoods`, two functions that the caller hands in.
"""

from mimar.tasks._item import Item
from mimar.tasks._prompts import TASKS, Headline, Prompt, Task
from mimar.tasks._read import Items, read_items
from mimar.tasks._requests import Encode, Request, encoded, requests
from mimar.tasks._score import LogLikelihoods, TaskScore, accuracy_words, score

__all__ = [
    "TASKS",
    "Encode",
    "Headline",
    "Item",
    "Items",
    "LogLikelihoods",
    "Prompt",
    "Request",
    "Task",
    "TaskScore",
    "accuracy_words",
    "encoded",
    "read_items",
    "requests",
    "score",
]
