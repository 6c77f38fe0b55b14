"""A whole study → a study of Optuna, which its dashboard and its analyses open."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from mimar.errors import ExportError, InputError, MissingDependencyError, visible
from mimar.export._publish import ExportResult
from mimar.objectives import Objective, front_trials
from mimar.space import Choice, Choices, SearchSpace, are_numbers
from mimar.trial import Trial

A = TypeVar("A")


def export_optuna(
    trials: Sequence[Trial[A]], objectives: Sequence[Objective], space: SearchSpace[A], url: str, name: str
) -> ExportResult:
    """Write the study `name` into the Optuna storage at `url` (``sqlite:///FILE`` or another of SQLAlchemy's), beside
    what is there. Needs Optuna (extra ``bench``).

    Variables of the space become parameters, numbers as ranges. Complete trials keep the values of the objectives;
    partial ones are pruned, failed and rejected ones failed. Everything else is a user attribute: id, origin, parents,
    metrics, reasons, what a language model said of it, the architecture as JSON. What was written is read back: the
    same best trials.

    InputError: no such storage, or a study of that name in it. ExportError: it does not read back, or the storage takes
    no more. Neither they nor the result show a password in `url`.
    """
    optuna = _imported()
    from sqlalchemy.exc import SQLAlchemyError

    created, place = _created(optuna, objectives, url, name), _place(url)
    try:
        _name_metrics(optuna, created, objectives)
        params = [_params(trial, space) for trial in trials]
        ranges = _distributions(optuna, space, params)
        for trial, given in zip(trials, params, strict=True):
            created.add_trial(_frozen(optuna, (trial, given), objectives, (space, ranges)))
        best = {trial.user_attrs["id"] for trial in created.best_trials}
        expected = {trial.id for trial in front_trials(trials, objectives)}
        if best != expected:
            raise ExportError(f"expected the best trials {sorted(expected)} in {place}, got {sorted(best)}")
    except BaseException as error:
        with suppress(Exception):  # a full storage may refuse that as well
            optuna.delete_study(study_name=name, storage=url)
        if isinstance(error, optuna.exceptions.StorageInternalError | SQLAlchemyError):
            reason = visible(str(error.__cause__ or error)).partition("\n")[0]
            raise ExportError(f"{place} takes no more ({reason}): perhaps a part of {name!r} is left in it") from error
        raise
    return ExportResult("optuna", place, (name,), {"optuna": f"ok: {len(trials)} trials, the same best ones read back"})


def _created(optuna: Any, objectives: Sequence[Objective], url: str, name: str) -> Any:
    from sqlalchemy.exc import SQLAlchemyError

    words = {"min": "minimize", "max": "maximize"}
    try:
        study = optuna.create_study(
            storage=url, study_name=name, directions=[words[objective.direction] for objective in objectives]
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise InputError(
            f"{_place(url)} holds a study {name!r} already: choose another storage, or delete that one"
        ) from error
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error).splitlines()[0].replace(url, _place(url))
        raise InputError(f"expected a storage such as sqlite:///studies.db, got {_place(url)} ({reason})") from error
    return study


def _place(url: str) -> str:
    """The URL as it is shown: without a password, and without options, among which there may be one."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    bare = url.partition("?")[0]
    if bare.count("@") < 2:  # a password with a sign that it should not hold would be shown in part
        with suppress(ArgumentError, ValueError):
            return make_url(url).set(query={}).render_as_string(hide_password=True)
    return re.sub(r"://.*@", "://***@", bare, flags=re.DOTALL)


def _name_metrics(optuna: Any, study: Any, objectives: Sequence[Objective]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in objectives])


def _params(trial: Trial[A], space: SearchSpace[A]) -> Choices:
    """None of an architecture that did not parse, or that is not one of the space."""
    arch = trial.proposal.architecture
    return {} if arch is None or space.validate(arch) else space.to_choices(arch)


def _distributions(optuna: Any, space: SearchSpace[A], params: Sequence[Choices]) -> dict[str, Any]:
    """Of each variable the range, or the words; what was taken between the choices or beyond them is part of it."""
    found = dict[str, Any]()
    for name, choices in space.variables.items():
        taken = list[Choice](dict.fromkeys([*choices, *(given[name] for given in params if given)]))
        found[name] = _distribution(optuna.distributions, taken)
    return found


def _distribution(distributions: Any, taken: Sequence[Choice]) -> Any:
    if not are_numbers(taken):
        return distributions.CategoricalDistribution(taken)
    whole = all(isinstance(choice, int) for choice in taken)
    kind = distributions.IntDistribution if whole else distributions.FloatDistribution
    return kind(min(taken), max(taken))


def _frozen(
    optuna: Any,
    given: tuple[Trial[A], Choices],
    objectives: Sequence[Objective],
    described: tuple[Any, Mapping[str, Any]],
) -> Any:
    """The trial as Optuna keeps it. given: a trial and its parameters; described: the space and its distributions."""
    (trial, params), (space, ranges) = given, described
    arch = trial.proposal.architecture
    states = optuna.trial.TrialState
    state = {"complete": states.COMPLETE, "partial": states.PRUNED}.get(trial.status, states.FAIL)
    values = [trial.metrics[objective.metric] for objective in objectives] if state == states.COMPLETE else None
    facts = {
        "id": trial.id,
        "origin": trial.proposal.origin,
        "parents": list(trial.proposal.parents),
        "fidelity": trial.proposal.fidelity,
        "reasons": list(trial.reasons),
        "note": trial.proposal.note,
        "seconds": trial.seconds,
        "architecture": None if arch is None else space.to_json(arch),
        **{f"metric {name}": value for name, value in trial.metrics.items()},
    }
    return optuna.trial.create_trial(
        state=state, values=values, params=dict(params), distributions={name: ranges[name] for name in params},
        user_attrs=facts,
    )  # fmt: skip


def _imported() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("Optuna is not installed: pip install 'mimar[bench]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
