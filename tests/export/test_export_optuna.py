"""A study in Optuna's storage: parameters, values, states and the same best trials."""

import numpy as np
import optuna
import pytest

from mimar.errors import ExportError, InputError
from mimar.export import export_optuna
from mimar.objectives import front_trials
from mimar.strategy import NSGA2
from mimar.study import Study
from mimar.testing import layerdrop_problem, toy_problem
from mimar.trial import Proposal, Trial

TOY = toy_problem()


@pytest.fixture(scope="module")
def trials():
    """Of a search, with one of each kind that is not complete."""
    study = Study(TOY.problem, NSGA2(TOY.problem, 0), TOY)
    study.run(40)
    arch = study.trials[0].architecture
    rest = [
        Trial(90, Proposal(None, "llm", reasons=("no JSON",), note="<script>"), "invalid", reasons=("no JSON",)),
        Trial(91, Proposal(arch, "llm"), "failed", reasons=("out of memory",)),
        Trial(92, Proposal(arch, "llm", fidelity="10%"), "partial", {"quality": 1.0}),
    ]
    return [*study.trials, *rest]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'studies.db'}"


def test_trials_come_over_with_parameters_values_and_states(trials, url):
    result = export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
    assert (result.form, result.path, result.files) == ("optuna", url, ("mine",))
    loaded = optuna.load_study(study_name="mine", storage=url)
    assert [direction.name for direction in loaded.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert loaded.metric_names == ["quality", "flops"]
    found = {trial.user_attrs["id"]: trial for trial in loaded.trials}
    assert list(found) == [trial.id for trial in trials]
    for trial in trials[:40]:
        theirs = found[trial.id]
        assert theirs.params == TOY.problem.space.to_choices(trial.architecture)
        assert theirs.values == [trial.metrics["quality"], trial.metrics["flops"]]
        assert theirs.user_attrs["architecture"] == TOY.problem.space.to_json(trial.architecture)
        assert theirs.user_attrs["metric params"] == trial.metrics["params"]
    assert [found[number].state.name for number in (90, 91, 92)] == ["FAIL", "FAIL", "PRUNED"]
    assert found[90].user_attrs["reasons"] == ["no JSON"]
    assert found[90].user_attrs["note"] == "<script>"
    front = {trial.id for trial in front_trials(trials, TOY.problem.objectives)}
    assert front == {trial.user_attrs["id"] for trial in loaded.best_trials}


def test_equal_ones_all_stay_and_none_at_all_is_no_error(trials, url):
    twins = [*trials[:3], *(Trial(50 + t.id, t.proposal, t.status, t.metrics) for t in trials[:3])]
    export_optuna(twins, TOY.problem.objectives, TOY.problem.space, url, "twins")
    export_optuna(twins, TOY.problem.objectives[:1], TOY.problem.space, url, "one objective")
    export_optuna([], TOY.problem.objectives, TOY.problem.space, url, "empty")
    export_optuna(trials[-3:], TOY.problem.objectives[:1], TOY.problem.space, url, "nothing complete")
    best = optuna.load_study(study_name="twins", storage=url).best_trials
    assert {trial.user_attrs["id"] for trial in best} == {t.id for t in front_trials(twins, TOY.problem.objectives)}
    assert optuna.load_study(study_name="empty", storage=url).trials == []


def test_optuna_goes_on_from_there(trials, url):
    export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
    loaded = optuna.load_study(study_name="mine", storage=url, sampler=optuna.samplers.TPESampler(seed=0))
    asked = loaded.ask(dict(loaded.trials[0].distributions))
    assert asked.params.keys() == TOY.problem.space.variables.keys()


def test_studies_share_a_storage_and_no_name(trials, url):
    other = layerdrop_problem()
    subset = other.problem.space.sample(np.random.default_rng(0))
    dropped = [Trial(0, Proposal(subset, "random"), "complete", {"cost": 0.5, "damage": 0.1})]
    export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
    export_optuna(dropped, other.problem.objectives, other.problem.space, url, "other")
    with pytest.raises(InputError, match="holds a study 'mine' already"):
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
    assert sorted(optuna.get_all_study_names(storage=url)) == ["mine", "other"]
    assert len(optuna.load_study(study_name="mine", storage=url).trials) == len(trials)


def test_what_breaks_off_leaves_no_study(trials, url, monkeypatch):
    add = optuna.Study.add_trial
    monkeypatch.setattr(optuna.Study, "add_trial", lambda self, t: 1 / 0 if t.user_attrs["id"] == 5 else add(self, t))
    with pytest.raises(ZeroDivisionError):
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
    assert optuna.get_all_study_names(storage=url) == []


def test_a_storage_that_takes_no_more_is_a_sentence(trials, url, monkeypatch):
    """And so it stays where the half study cannot be taken back either."""

    def full(*_, **__):
        raise optuna.exceptions.StorageInternalError("raised during the commit") from OSError("disk full")

    monkeypatch.setattr(optuna.Study, "add_trial", full)
    monkeypatch.setattr(optuna, "delete_study", full)
    with pytest.raises(ExportError, match=r"takes no more \(disk full\)"):
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")


SECRET = "postgresql://me:hunter2@nowhere/db?password=hunter2"
ERRORS = (
    ValueError(f"no driver for {SECRET}"), optuna.exceptions.DuplicatedStudyError(),
    optuna.exceptions.StorageInternalError("read-only"), RuntimeError("of another version of Optuna"),
)  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_password_is_not_shown(trials, monkeypatch, error):
    def refused(**_):
        raise error

    monkeypatch.setattr(optuna, "create_study", refused)
    with pytest.raises(InputError) as refusal:
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, SECRET, "mine")
    assert "hunter2" not in str(refusal.value)
    assert "me:***@nowhere" in str(refusal.value)


@pytest.mark.parametrize("password", ["p@ss", "pa/ss", "pa/s:s", "a@b/c"])
def test_nothing_of_a_password_is_shown_that_no_url_may_hold(trials, password):
    with pytest.raises(InputError) as refusal:
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, f"cloud://me:{password}@host:x/db", "mine")
    shown = str(refusal.value)
    assert "://***@host:x/db" in shown
    assert not any(part in shown for part in ("me:", "p@", "pa/", "ss@", "a@b"))


@pytest.mark.parametrize("url", ["", "studies.db", "sqlite:////no/such/folder/x.db", "cloud://x"])
def test_a_storage_that_is_none_is_a_sentence(trials, url):
    with pytest.raises(InputError, match=r"expected a storage such as sqlite:///studies\.db"):
        export_optuna(trials, TOY.problem.objectives, TOY.problem.space, url, "mine")
