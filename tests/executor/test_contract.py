"""The contract suite over every executor."""

import inspect

import pytest

import mimar.executor
from mimar.executor import ProcessExecutor, RayExecutor, SerialExecutor
from mimar.testing import check_executor

EXECUTORS = {SerialExecutor: SerialExecutor, ProcessExecutor: lambda: ProcessExecutor(2), RayExecutor: RayExecutor}


@pytest.mark.parametrize("kind", EXECUTORS, ids=lambda kind: kind.__name__)
def test_keeps_the_contract(kind):
    executor = EXECUTORS[kind]()
    try:
        check_executor(executor)
        check_executor(executor)  # what a broken system left behind does not matter
    finally:
        getattr(executor, "close", lambda: None)()


def test_every_exported_executor_is_listed():
    exported = {
        value
        for name in mimar.executor.__all__
        if inspect.isclass(value := getattr(mimar.executor, name)) and hasattr(value, "map") and name != "Executor"
    }
    assert exported == set(EXECUTORS)


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
