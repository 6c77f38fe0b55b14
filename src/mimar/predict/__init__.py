"""Surrogates that learn metrics from trials, and say how sure they are. All but ridge need scikit-learn."""

from mimar.predict._choice import LEARNERS, Calibration, Chosen, calibration, choose_predictor, held_out
from mimar.predict._choice_process import ChoiceProcess
from mimar.predict._curves import FEWEST_CURVES, LearningCurves
from mimar.predict._features import Features
from mimar.predict._gaussian_process import gaussian_process
from mimar.predict._learner import Learner, Predictor
from mimar.predict._linear import ridge
from mimar.predict._networks import network_ensemble
from mimar.predict._ridge import Ridge
from mimar.predict._svr import svr
from mimar.predict._trees import boosted_trees

__all__ = [
    "FEWEST_CURVES",
    "LEARNERS",
    "Calibration",
    "ChoiceProcess",
    "Chosen",
    "Features",
    "Learner",
    "LearningCurves",
    "Predictor",
    "Ridge",
    "boosted_trees",
    "calibration",
    "choose_predictor",
    "gaussian_process",
    "held_out",
    "network_ensemble",
    "ridge",
    "svr",
]
