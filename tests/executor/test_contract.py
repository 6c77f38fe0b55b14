"""The contract suite over every executor."""

import inspect

import pytest

import mimar.executor
from mimar.executor import SerialExecutor
from mimar.testing import check_executor

EXECUTORS = [SerialExecutor()]


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda executor: type(executor).__name__)
def test_keeps_the_contract(executor):
    check_executor(executor)


def test_every_exported_executor_is_listed():
    exported = {
        value
        for name in mimar.executor.__all__
        if inspect.isclass(value := getattr(mimar.executor, name)) and hasattr(value, "map") and name != "Executor"
    }
    assert exported == {type(executor) for executor in EXECUTORS}


def test_the_suite_notices_a_swallowed_bug():
    class Careless:
        def map(self, evaluate, items):
            for index, item in enumerate(items):
                try:
                    yield index, mimar.executor.outcome(evaluate, item)
                except ArithmeticError:
                    yield index, mimar.executor.Outcome(failure="bug")

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check_executor(Careless())
