"""Training of language models: data, recipe, and one loop for everything that learns in the project.

Torch is loaded on first use, so that importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mimar.training._data import Batch, TokenData
from mimar.training._fidelity import Fidelity, narrower, shallower
from mimar.training._recipe import Precision, Recipe, precision_named
from mimar.training._texts import read_texts
from mimar.training._tokenizer import END, ByteTokenizer, SubwordTokenizer, Tokenizer, tokenizer_named

if TYPE_CHECKING:
    from mimar.training._distillation import Distillation
    from mimar.training._loop import Habits, TrainingResult, train, validation_loss
    from mimar.training._team import Team, team

__all__ = [
    "END",
    "Batch",
    "ByteTokenizer",
    "Distillation",
    "Fidelity",
    "Habits",
    "Precision",
    "Recipe",
    "SubwordTokenizer",
    "Team",
    "TokenData",
    "Tokenizer",
    "TrainingResult",
    "narrower",
    "precision_named",
    "read_texts",
    "shallower",
    "team",
    "tokenizer_named",
    "train",
    "validation_loss",
]

_HOME = {"Distillation": "_distillation", "Team": "_team", "team": "_team"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, '_loop')}"), name)
