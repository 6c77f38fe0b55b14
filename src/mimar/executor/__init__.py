"""Where candidates are evaluated: same results, different place."""

from mimar.executor._contract import Executor, Limits, Outcome, outcome
from mimar.executor._process import ProcessExecutor, usable_cores
from mimar.executor._ray import RayExecutor
from mimar.executor._serial import SerialExecutor

__all__ = [
    "Executor",
    "Limits",
    "Outcome",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "outcome",
    "usable_cores",
]
