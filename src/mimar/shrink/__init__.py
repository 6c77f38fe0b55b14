"""`shrink`: a pretrained model, text, a device and budgets → the search for a smaller one, and what came of it."""

from mimar.shrink._answers import answered
from mimar.shrink._card import Provenance, model_card
from mimar.shrink._finals import Finalist, finals
from mimar.shrink._knapsack import Knapsack
from mimar.shrink._lessons import Healed, Lessons, Tuned, heal, spread, tune
from mimar.shrink._opened import Opened, open_model
from mimar.shrink._rows import ModelRow, sizes_of
from mimar.shrink._speed import LLAMA_CPP, TIMED_WITH, LlamaCppSpeed, run_in_llama_cpp, time_in_llama_cpp
from mimar.shrink._task import (
    DEFAULT_OBJECTIVES,
    DIVERGENCE,
    FIGURES,
    LOSS,
    ShrinkEvaluator,
    ShrinkTask,
    objective_for,
    shrink_task,
)
from mimar.shrink._texts import calibration_windows, learning_text, windows
from mimar.shrink._within import Known, Within

__all__ = [
    "DEFAULT_OBJECTIVES",
    "DIVERGENCE",
    "FIGURES",
    "LLAMA_CPP",
    "LOSS",
    "TIMED_WITH",
    "Finalist",
    "Healed",
    "Knapsack",
    "Known",
    "Lessons",
    "LlamaCppSpeed",
    "ModelRow",
    "Opened",
    "Provenance",
    "ShrinkEvaluator",
    "ShrinkTask",
    "Tuned",
    "Within",
    "answered",
    "calibration_windows",
    "finals",
    "heal",
    "learning_text",
    "model_card",
    "objective_for",
    "open_model",
    "run_in_llama_cpp",
    "shrink_task",
    "sizes_of",
    "spread",
    "time_in_llama_cpp",
    "tune",
    "windows",
]
