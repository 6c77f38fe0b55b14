"""Searchers behind ask and tell, classic and LLM-guided."""

from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._evolution import RegularisedEvolution
from mimar.strategy._feasible import breed, draw
from mimar.strategy._linas import LINAS
from mimar.strategy._local import LocalSearch
from mimar.strategy._nsga2 import NSGA2
from mimar.strategy._portfolio import AdaptivePortfolio
from mimar.strategy._prompts import Brief
from mimar.strategy._proposer import Proposer
from mimar.strategy._protocol import Problem, Strategy
from mimar.strategy._random import RandomSearch
from mimar.strategy._reinforce import ReinforcementLearning
from mimar.strategy._scalarised import Scalarised, checked_weights
from mimar.strategy._screen import Effort
from mimar.strategy._started import Started
from mimar.strategy._surrogate import Surrogate
from mimar.strategy._zerolm import ZeroLMLoop

__all__ = [
    "LINAS",
    "NSGA2",
    "AdaptivePortfolio",
    "Archive",
    "Bandit",
    "Brief",
    "Effort",
    "Exchange",
    "LocalSearch",
    "Problem",
    "Proposer",
    "RandomSearch",
    "RegularisedEvolution",
    "ReinforcementLearning",
    "Scalarised",
    "Started",
    "Strategy",
    "Surrogate",
    "ZeroLMLoop",
    "breed",
    "checked_weights",
    "draw",
]
