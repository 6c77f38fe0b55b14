"""Where candidates are evaluated: same results, different place."""

from mimar.executor._serial import Executor, Outcome, SerialExecutor, outcome

__all__ = ["Executor", "Outcome", "SerialExecutor", "outcome"]
