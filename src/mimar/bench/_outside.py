"""Public optimisers behind ask and tell, to be measured beside ours: Optuna and pymoo, where they are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, Generic, TypeVar

import numpy as np

from mimar.errors import MissingDependencyError
from mimar.objectives import losses
from mimar.space import Choice, are_numbers
from mimar.strategy import Problem, Strategy
from mimar.trial import Proposal, Trial

A = TypeVar("A")

POPULATION: Final = 50
"""Of their evolutionary algorithms."""


class OptunaSearch(Generic[A]):
    """A sampler of Optuna (Akiba et al., 2019): ``nsga2`` or ``tpe``, the latter multivariate.

    Numbers are given as ranks, words as categories. What it proposes again is evaluated again, as Optuna does.
    """

    def __init__(self, problem: Problem[A], seed: int, sampler: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = f"optuna-{sampler}"
        samplers: dict[str, Any] = {
            "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed),
            "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, seed=seed),
        }
        self._problem = problem
        create: Any = optuna.create_study  # its annotations refuse a list of words
        self._study = create(directions=["minimize"] * len(problem.objectives), sampler=samplers[sampler]())
        self._distributions: dict[str, Any] = {
            name: optuna.distributions.IntDistribution(0, len(options) - 1)
            if are_numbers(options)
            else optuna.distributions.CategoricalDistribution(list(options))
            for name, options in problem.space.variables.items()
        }
        self._failed = optuna.trial.TrialState.FAIL
        self._open: list[Any] = []

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """`n` suggestions."""
        self._open = [self._study.ask(self._distributions) for _ in range(n)]
        return [_proposal(self._problem, self._choices(trial.params), self.name) for trial in self._open]

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Their losses."""
        for open_, trial in zip(self._open, trials, strict=True):
            if trial.status == "complete":
                self._study.tell(open_, list(losses([trial.metrics], self._problem.objectives)[0]))
            else:
                self._study.tell(open_, state=self._failed)

    def _choices(self, params: Mapping[str, Any]) -> dict[str, Choice]:
        return {
            name: options[params[name]] if are_numbers(options) else params[name]
            for name, options in self._problem.space.variables.items()
        }


class PymooSearch(Generic[A]):
    """An algorithm of pymoo (Blank and Deb, 2020): ``nsga2`` or ``agemoea2``, over the ranks of the choices.

    Uniform crossover, as the choices may be words, and the mutation that its documentation gives for integers.
    """

    def __init__(self, problem: Problem[A], seed: int, algorithm: str) -> None:
        from pymoo.core.problem import Problem as PymooProblem
        from pymoo.operators.crossover.ux import UniformCrossover
        from pymoo.operators.mutation.pm import PolynomialMutation
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling

        self.name = f"pymoo-{algorithm}"
        self._problem = problem
        self._options = list(problem.space.variables.items())
        top = np.asarray([len(options) - 1 for _, options in self._options])
        self._algorithm: Any = _pymoo_algorithm(algorithm)(
            pop_size=POPULATION,
            sampling=IntegerRandomSampling(),
            crossover=UniformCrossover(),
            mutation=PolynomialMutation(prob=1.0, eta=3, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        )
        self._algorithm.setup(
            PymooProblem(n_var=len(top), n_obj=len(problem.objectives), xl=0, xu=top, vtype=int), seed=seed
        )
        self._population: Any = ()
        self._asked = 0
        self._losses: list[Sequence[float]] = []

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Up to `n` of the current generation; the next begins when all of it has been told."""
        if self._asked == len(self._population):
            self._population, self._asked, self._losses = self._algorithm.ask(), 0, []
        members = self._population[self._asked : self._asked + n]
        self._asked += len(members)
        return [_proposal(self._problem, self._choices(member.X), self.name) for member in members]

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Their losses; what was not evaluated counts as infinitely bad."""
        worst = [float("inf")] * len(self._problem.objectives)
        for trial in trials:
            done = trial.status == "complete"
            self._losses.append(losses([trial.metrics], self._problem.objectives)[0].tolist() if done else worst)
        if self._losses and len(self._losses) == len(self._population):
            self._population.set("F", np.asarray(self._losses))
            self._algorithm.tell(infills=self._population)

    def _choices(self, ranks: Sequence[Any]) -> dict[str, Choice]:
        return {name: options[int(rank)] for (name, options), rank in zip(self._options, ranks, strict=True)}


def _pymoo_algorithm(name: str) -> Any:
    if name == "nsga2":
        from pymoo.algorithms.moo.nsga2 import NSGA2

        return NSGA2
    import numba  # noqa: F401 - without it pymoo raises a bare Exception  # pyright: ignore[reportUnusedImport]
    from pymoo.algorithms.moo.age2 import AGEMOEA2

    return AGEMOEA2


NEEDS_TOO: Final = {"pymoo-agemoea2": "numba"}
"""What one of them needs beside its package."""

OUTSIDERS: Final = ("optuna-nsga2", "optuna-tpe", "pymoo-nsga2", "pymoo-agemoea2")
"""Names of what can be measured beside our strategies."""


def installed_outsiders() -> tuple[str, ...]:
    """Those of `OUTSIDERS` whose packages are installed."""
    needed = {name: (name.partition("-")[0], NEEDS_TOO.get(name, "numpy")) for name in OUTSIDERS}
    return tuple(name for name in OUTSIDERS if all(find_spec(package) for package in needed[name]))


def outsider(name: str, problem: Problem[A], seed: int) -> Strategy[A]:
    """The public optimiser `name` of `OUTSIDERS`; MissingDependencyError where a package is not installed."""
    package, _, algorithm = name.partition("-")
    try:
        return OptunaSearch(problem, seed, algorithm) if package == "optuna" else PymooSearch(problem, seed, algorithm)
    except ModuleNotFoundError as missing:
        raise MissingDependencyError(f"{name} needs {missing.name or package}: pip install 'mimar[bench]'") from missing


def _proposal(problem: Problem[A], choices: Mapping[str, Choice], origin: str) -> Proposal[A]:
    arch = problem.space.from_choices(choices)
    return Proposal(arch, origin, reasons=problem.check(arch))
