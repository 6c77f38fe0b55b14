"""A language model that ranks networks by their shapes, as a score, and how far it is to be trusted."""

from mimar.proxies.judge._anchors import Anchors, fit_anchors
from mimar.proxies.judge._judge import JUDGE, LLMJudge
from mimar.proxies.judge._panel import Panel
from mimar.proxies.judge._prompt import decoder_setting
from mimar.proxies.judge._strength import Ballots, strengths
from mimar.proxies.judge._summary import JudgeSummary, judge_summary
from mimar.proxies.judge._weight import JudgeWeight, judge_weight

__all__ = [
    "JUDGE",
    "Anchors",
    "Ballots",
    "JudgeSummary",
    "JudgeWeight",
    "LLMJudge",
    "Panel",
    "decoder_setting",
    "fit_anchors",
    "judge_summary",
    "judge_weight",
    "strengths",
]
