"""Contract suites and fakes: run them over your own space, strategy, storage, executor or language model.

A suite is a plain function that raises AssertionError where the law is broken; it needs no test framework.
"""

from mimar.testing._executor_contract import check_executor
from mimar.testing._layerdrop import LayerDrop, layerdrop_problem
from mimar.testing._llm import FAULTY_EDITS, FAULTY_ERRORS, FAULTY_TEXTS, FaultyLLM, ScriptedLLM
from mimar.testing._llm_contract import CONTRACT_SCHEMA, check_llm
from mimar.testing._planted import Cue, PlantedLLM
from mimar.testing._proxy_contract import check_proxy
from mimar.testing._scripted_judge import ScriptedJudge
from mimar.testing._space_contract import check_reachable, check_space
from mimar.testing._storage_contract import check_storage
from mimar.testing._strategy_contract import MakeStrategy, check_strategy
from mimar.testing._toy import Toy, toy_problem

__all__ = [
    "CONTRACT_SCHEMA",
    "FAULTY_EDITS",
    "FAULTY_ERRORS",
    "FAULTY_TEXTS",
    "Cue",
    "FaultyLLM",
    "LayerDrop",
    "MakeStrategy",
    "PlantedLLM",
    "ScriptedJudge",
    "ScriptedLLM",
    "Toy",
    "check_executor",
    "check_llm",
    "check_proxy",
    "check_reachable",
    "check_space",
    "check_storage",
    "check_strategy",
    "layerdrop_problem",
    "toy_problem",
]
