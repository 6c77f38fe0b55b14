"""What every `Strategy` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from mimar.strategy import Problem, Strategy
from mimar.testing._toy import Toy
from mimar.trial import Proposal, Trial

A = TypeVar("A")

MakeStrategy: TypeAlias = Callable[[Problem[A], int], Strategy[A]]
"""From a problem and a seed to a fresh strategy; a scripted LLM must be fresh as well."""

Judge: TypeAlias = Callable[[int], bool]
"""From a trial's id to whether its evaluation fails."""


def check_strategy(make_strategy: MakeStrategy[A], toy: Toy[A], *, rounds: int = 12, batch: int = 6) -> None:
    """Every check below; AssertionError where the strategy breaks the contract.

    rounds × batch should be more than the strategy's initial population, or its later phases are not seen.
    """
    first = check_proposals(make_strategy(toy.problem, 3), toy, rounds, batch)
    again = play(make_strategy(toy.problem, 3), toy, rounds, batch)
    assert again == first, "expected the same proposals from the same seed and trials"
    check_failed_trials(make_strategy(toy.problem, 4), toy, rounds)
    check_empty_tell(make_strategy(toy.problem, 5))


def check_proposals(strategy: Strategy[A], toy: Toy[A], rounds: int, batch: int) -> list[Trial[A]]:
    """At most `batch` good candidates an ask, all of them new, inside the budgets and of known parents."""
    assert strategy.name, "expected a name"
    assert strategy.name == strategy.name.strip().lower(), f"expected a name to type, got {strategy.name!r}"
    trials: list[Trial[A]] = []
    proposed: set[A] = set()
    for _ in range(rounds):
        proposals = strategy.ask(batch)
        good = [proposal.architecture for proposal in proposals if not proposal.reasons]
        assert len(good) <= batch, f"expected at most {batch} good candidates, got {len(good)}"
        for proposal in proposals:
            _check_proposal(proposal, toy.problem, len(trials))
        for arch in good:
            assert arch is not None
            assert arch not in proposed, f"expected new candidates only, got {arch} again"
            proposed.add(arch)
        told = _told(proposals, len(trials), toy, _some_fail)
        trials += told
        strategy.tell(told)
    assert proposed, "expected at least one good candidate"
    return trials


def check_failed_trials(strategy: Strategy[Any], toy: Toy[Any], rounds: int) -> None:
    """Trials that all fail stop no strategy."""
    trials = play(strategy, toy, rounds, 4, lambda _: True)
    assert any(trial.status == "failed" for trial in trials), "expected candidates to go on coming"


def check_empty_tell(strategy: Strategy[Any]) -> None:
    """An ask that brought nothing is told as such; asking goes on."""
    strategy.tell(())
    assert list(strategy.ask(3)), "expected proposals after an empty tell"
    strategy.tell(())
    strategy.ask(1)


def play(strategy: Strategy[A], toy: Toy[A], rounds: int, batch: int, fails: Judge | None = None) -> list[Trial[A]]:
    """The trials of so many rounds of ask and tell; every fifth evaluation fails unless `fails` decides otherwise."""
    trials: list[Trial[A]] = []
    for _ in range(rounds):
        told = _told(strategy.ask(batch), len(trials), toy, fails or _some_fail)
        trials += told
        strategy.tell(told)
    return trials


def _check_proposal(proposal: Proposal[A], problem: Problem[A], known: int) -> None:
    assert proposal.origin, "expected the operator's name as origin"
    assert all(0 <= parent < known for parent in proposal.parents), f"expected parents among {known} trials"
    assert all(proposal.reasons), f"expected sentences as reasons, got {proposal.reasons}"
    if proposal.reasons:
        return
    assert proposal.architecture is not None, "expected an architecture or a reason"
    reasons = problem.check(proposal.architecture)
    assert not reasons, f"expected good candidates to pass the check, got {reasons}"


def _told(proposals: Sequence[Proposal[A]], first: int, toy: Toy[A], fails: Judge) -> list[Trial[A]]:
    return [_trial(first + index, proposal, toy, fails) for index, proposal in enumerate(proposals)]


def _trial(index: int, proposal: Proposal[A], toy: Toy[A], fails: Judge) -> Trial[A]:
    if proposal.reasons or proposal.architecture is None:
        return Trial(index, proposal, "invalid", reasons=proposal.reasons)
    if fails(index):
        return Trial(index, proposal, "failed", reasons=("made to fail",))
    return Trial(index, proposal, "complete", toy.measure(proposal.architecture))


def _some_fail(index: int) -> bool:
    return index % 5 == 4
