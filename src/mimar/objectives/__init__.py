"""What is optimised, what must be kept, and how candidates are evaluated."""

from mimar.objectives._evaluator import DesignEvaluator, Evaluator, Measure, Score
from mimar.objectives._objective import Budget, Direction, Objective, losses
from mimar.objectives._trials import complete_trials, front_trials

__all__ = [
    "Budget",
    "DesignEvaluator",
    "Direction",
    "Evaluator",
    "Measure",
    "Objective",
    "Score",
    "complete_trials",
    "front_trials",
    "losses",
]
