"""What is optimised, what must be kept, and how candidates are evaluated."""

from mimar.objectives._evaluator import SCORED, DesignEvaluator, Evaluator, Measure, Score
from mimar.objectives._inherited_loss import ONE_SHOT, InheritedLoss
from mimar.objectives._objective import Budget, Direction, Objective, losses
from mimar.objectives._trained_loss import LOSS_PREFIX, TrainedLoss, loss_metric
from mimar.objectives._trials import complete_trials, front_trials

__all__ = [
    "LOSS_PREFIX",
    "ONE_SHOT",
    "SCORED",
    "Budget",
    "DesignEvaluator",
    "Direction",
    "Evaluator",
    "InheritedLoss",
    "Measure",
    "Objective",
    "Score",
    "TrainedLoss",
    "complete_trials",
    "front_trials",
    "loss_metric",
    "losses",
]
