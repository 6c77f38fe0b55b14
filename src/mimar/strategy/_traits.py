"""What a strategy declares about itself; `mimar strategies` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties that tell strategies apart, as surveys of LLM-guided search list them.

    data_free: proposes without a predictor that is fitted to evaluated candidates.
    hardware_aware: what the device costs steers what is proposed, beyond keeping the budgets that every strategy keeps.
    reflection: conclusions are drawn from results in words, and steer what comes next.
    multi_round: results of earlier candidates steer later ones.
    code_generation: the LLM is shown architectures as generated code.
    llm: ``none`` (never asks one), ``optional`` (does without) or ``needed``.
    """

    data_free: bool = True
    hardware_aware: bool = False
    reflection: bool = False
    multi_round: bool = True
    code_generation: bool = False
    llm: Literal["none", "optional", "needed"] = "none"
