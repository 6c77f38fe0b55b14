"""Searchers behind ask and tell, classic and LLM-guided."""

from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._cascade import IN_BUDGET, PREDICTED, Cascade, Gate, require_distinct
from mimar.strategy._darts import Darts
from mimar.strategy._dialogue import Dialogue
from mimar.strategy._evolution import RegularisedEvolution
from mimar.strategy._feasible import breed, draw
from mimar.strategy._instructions import Instructions
from mimar.strategy._linas import LINAS
from mimar.strategy._llm_nas import LLMNAS
from mimar.strategy._local import LocalSearch
from mimar.strategy._niched import NichedEvolution
from mimar.strategy._niches import Niches
from mimar.strategy._nsga2 import NSGA2
from mimar.strategy._one_shot import OneShot
from mimar.strategy._operator import LLMSearch, Operator
from mimar.strategy._pel_nas import ARMS, PELNAS
from mimar.strategy._portfolio import AdaptivePortfolio
from mimar.strategy._prompts import Brief
from mimar.strategy._proposer import Batch, Proposer, Request
from mimar.strategy._protocol import Axis, Problem, Strategy
from mimar.strategy._random import RandomSearch
from mimar.strategy._reinforce import ReinforcementLearning
from mimar.strategy._rz_nas import RZNAS, RZNASMutation
from mimar.strategy._scalarised import Scalarised, checked_weights
from mimar.strategy._screen import Effort
from mimar.strategy._started import Started
from mimar.strategy._surrogate import Surrogate
from mimar.strategy._traits import Traits
from mimar.strategy._view import View
from mimar.strategy._zerolm import ZeroLM

__all__ = [
    "ARMS",
    "IN_BUDGET",
    "LINAS",
    "LLMNAS",
    "NSGA2",
    "PELNAS",
    "PREDICTED",
    "RZNAS",
    "AdaptivePortfolio",
    "Archive",
    "Axis",
    "Bandit",
    "Batch",
    "Brief",
    "Cascade",
    "Darts",
    "Dialogue",
    "Effort",
    "Exchange",
    "Gate",
    "Instructions",
    "LLMSearch",
    "LocalSearch",
    "NichedEvolution",
    "Niches",
    "OneShot",
    "Operator",
    "Problem",
    "Proposer",
    "RZNASMutation",
    "RandomSearch",
    "RegularisedEvolution",
    "ReinforcementLearning",
    "Request",
    "Scalarised",
    "Started",
    "Strategy",
    "Surrogate",
    "Traits",
    "View",
    "ZeroLM",
    "breed",
    "checked_weights",
    "draw",
    "require_distinct",
]
