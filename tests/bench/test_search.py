"""`bench search`: its problems, its figures against independent ones, and the command."""

import itertools
import json
import sys

import numpy as np
import pytest

from mimar import pareto
from mimar.bench import (
    GuidedSearcher,
    SearchRun,
    installed_outsiders,
    outsider,
    search_runs,
    search_truth,
    summarise,
    without_llm,
)
from mimar.cli import main
from mimar.errors import InputError, MissingDependencyError, ProviderError, UnknownNameError
from mimar.llm import UniformLLM
from mimar.strategy import NSGA2, Brief, LLMSearch, RandomSearch, ZeroLM
from mimar.testing import PlantedLLM, ScriptedLLM
from mimar.trial import Proposal

DROP = search_truth("layerdrop")


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Tables of both published problems in their format, with made-up figures that grow with the choices."""
    folder = tmp_path / "truth"
    folder.mkdir()
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    cells = ["arch,cifar10_val,fpga"]
    for picks in itertools.product(range(5), repeat=6):
        names = [operations[pick] for pick in picks]
        arch = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)
        weight = sum((index + 1) * (pick == 3) for index, pick in enumerate(picks))
        cells.append(f"{arch},{60 + 1.5 * weight},{1 + weight / 4 + 0.1 * picks[0]}")
    (folder / "nb201_cifar10.csv").write_text("\n".join(cells))
    rng = np.random.default_rng(0)
    rows = ["embed_dim,n_layer,bias,n_head,mlp_ratio,perplexity,lat_a100"]
    for width, depth in itertools.product((192, 384, 768), (10, 11, 12)):
        for _ in range(60):
            heads, ratios = rng.choice([4, 8, 12], depth), rng.choice([2, 3, 4], depth)
            loss = 5 - 0.3 * np.log(width) - 0.01 * heads.sum() - 0.05 * ratios.sum()
            # Wide feed-forward parts are slow in four layers only: else nearly every model would be a trade-off.
            slow = 0.4 * np.log(width) + 0.1 * depth + 0.05 * ratios[:4].sum() - 0.02 * ratios[4:].sum()
            head, ratio = "-".join(map(str, heads)), "-".join(map(str, ratios))
            bias = rng.integers(2)
            rows.append(f"{width},{depth},{bias},{head},{ratio},{np.exp(loss)},{np.exp(slow)}")
    (folder / "hwgpt_s.csv").write_text("\n".join(rows))
    monkeypatch.setenv("MIMAR_DATA", str(tmp_path))
    return folder


def points_of(truth, archs):
    names = [objective.metric for objective in truth.toy.problem.objectives]
    return np.asarray([[truth.toy.evaluate(arch)[name] for name in names] for arch in archs])


def test_the_front_of_cells_is_that_of_the_whole_table(tables):
    truth = search_truth("nb201_cifar10")
    everything = points_of(truth, itertools.product(*truth.toy.problem.space.variables.values()))
    assert len(everything) == 15625
    assert truth.reference.hypervolume(truth.front) == pytest.approx(truth.reference.hypervolume(everything))
    assert truth.reference.point == (30.0, np.percentile(everything[:, 1], 95))
    assert truth.reference.ideal == tuple(everything[pareto.front(everything)].min(axis=0))


def test_the_surrogate_learns_an_additive_table_and_its_front_is_exact(tables):
    truth = search_truth("hwgpt_s")
    assert "perplexity 0.0" in truth.note
    assert "lat_a100 0.0" in truth.note
    archs = [truth.toy.problem.space.sample(np.random.default_rng(seed)) for seed in range(300)]
    sampled = points_of(truth, archs)
    volume = truth.reference.hypervolume
    assert volume(np.vstack([truth.front, sampled])) == pytest.approx(volume(truth.front))
    assert volume(sampled) < volume(truth.front)
    # The ends of the front are real models: one with every part large, and one without what is slow.
    fast = (*(12, 2) * 4, *(12, 4) * 6, *(4, 2) * 2)
    ends = [model for bias in (0, 1) for model in ((192, 10, bias, *fast), (768, 12, bias, *(12, 4) * 12))]
    best = points_of(truth, ends).min(axis=0)
    np.testing.assert_allclose(truth.front.min(axis=0), best, rtol=1e-4)  # heads have an effect of rounding on latency


def test_published_tables_have_the_fronts_they_are_known_for(published):
    cells = search_truth("nb201_cifar10", published)
    assert cells.reference.hypervolume(cells.front) == pytest.approx(0.913340, abs=1e-6)
    assert search_truth("hwgpt_s", published).note.endswith("perplexity 0.06%, lat_a100 0.18%")


def test_layerdrop_lets_the_cost_be_known_and_not_the_damage():
    arch = (4,) * 20
    assert DROP.toy.problem.known(arch) == {"cost": 1.0}
    assert set(DROP.toy.evaluate(arch)) == {"cost", "damage"}


class Given:
    """Proposes a list, eight at a time."""

    def __init__(self, archs):
        self._left = list(archs)
        self.told = []

    def ask(self, n):
        asked, self._left = self._left[:n], self._left[n:]
        return [Proposal(arch, "given") for arch in asked]

    def tell(self, trials):
        self.told += trials


def test_figures_of_a_run_are_what_they_say():
    rng = np.random.default_rng(0)
    archs = [tuple(int(option) for option in rng.integers(5, size=20)) for _ in range(30)]
    runs = search_runs(DROP, {"given": lambda problem, seed: Given(archs)}, [30, 12], 1)
    assert [(run.strategy, run.seed, run.budget) for run in runs] == [("given", 0, 12), ("given", 0, 30)]
    for run in runs:
        points = points_of(DROP, archs[: run.budget])
        exact = pareto.hypervolume(DROP.front, np.ones(2))
        assert run.hv_share == pytest.approx(pareto.hypervolume(points, np.ones(2)) / exact)
        assert run.igd_plus == pytest.approx(
            np.mean([np.linalg.norm(np.maximum(points - target, 0), axis=1).min() for target in DROP.front])
        )
        worse = []
        for share in np.linspace(0.05, 0.95, 10):
            best = [min(max(share * a, (1 - share) * b) for a, b in of) for of in (points, DROP.front)]
            worse.append(best[0] - best[1])
        assert run.regret == pytest.approx(np.mean(worse))
        assert run.us_per_candidate > 0
    assert runs[1].hv_share > runs[0].hv_share


def test_the_whole_front_has_a_share_of_one_and_no_regret(tables):
    truth = search_truth("nb201_cifar10")
    archs = list(itertools.product(*truth.toy.problem.space.variables.values()))
    kept = pareto.front(points_of(truth, archs))
    run = search_runs(truth, {"given": lambda problem, seed: Given([archs[int(i)] for i in kept])}, [len(kept)], 1)[0]
    assert (run.hv_share, run.igd_plus, run.regret) == pytest.approx((1.0, 0.0, 0.0))


def test_a_shorter_search_is_the_beginning_of_a_longer_one():
    both = search_runs(DROP, {"nsga2": NSGA2}, [40, 90], 2)
    short = search_runs(DROP, {"nsga2": NSGA2}, [40], 2)
    figures = lambda runs: [(run.seed, run.hv_share, run.igd_plus) for run in runs if run.budget == 40]  # noqa: E731
    assert figures(both) == figures(short)


def run_of(strategy, seed, share):
    return SearchRun(strategy, seed, 50, share, 1 - share, 0.5, 100.0)


def test_summaries_are_medians_with_a_rank_test():
    shares = {"a": [0.9, 0.8, 0.85, 0.95, 0.7], "b": [0.5, 0.4, 0.6, 0.3, 0.2]}
    runs = [run_of(name, seed, share) for name, found in shares.items() for seed, share in enumerate(found)]
    first, second = summarise(runs)
    assert (first.strategy, first.hv_share_median, first.hv_share_quartiles, first.p_best) == (
        "a",
        0.85,
        (0.8, 0.9),
        None,
    )
    assert (second.strategy, second.seeds, second.hv_share_median) == ("b", 5, 0.4)
    assert second.p_best == pytest.approx(2 / 252)  # the most extreme of 252 orders, both ways
    assert summarise(runs[:1])[0].p_best is None


def test_calls_of_a_model_are_counted_and_held_against_uniform_choice():
    def make(problem, seed, llm):
        return LLMSearch(problem, seed, ZeroLM(problem, llm, Brief("none", "a benchmark")))

    told = {
        "zerolm": GuidedSearcher(PlantedLLM(DROP.toy), make),
        without_llm("zerolm"): GuidedSearcher(UniformLLM(), make),
    }
    runs = search_runs(DROP, told, [16, 40], 2)
    for run in runs:
        assert run.llm_calls == run.llm_valid / 8
        assert run.llm_valid == run.budget
        assert run.llm_rejected == 0
        assert run.llm_tokens > 100 * run.llm_calls
    better, control = summarise(runs)[2:]
    assert (better.strategy, better.llm, control.llm) == ("zerolm", "planted", "uniform")
    assert better.llm_gain == pytest.approx(better.hv_share_median - control.hv_share_median)
    assert better.llm_gain > 0
    assert control.llm_gain is None
    assert better.candidates_per_call == 8
    tokens = [run.llm_tokens for run in runs if (run.budget, run.llm) == (40, "planted")]
    assert better.tokens_per_candidate == sum(tokens) / 80
    assert better.rejected_share == 0


def test_a_model_that_dies_costs_no_other_search_its_figures(caplog):
    def dead(messages, schema, seed):
        raise ProviderError("HTTP 503")

    def make(problem, seed, llm):
        return LLMSearch(problem, seed, ZeroLM(problem, llm, Brief("none", "a benchmark")))

    told = {"zerolm": GuidedSearcher(ScriptedLLM(dead), make), "random": RandomSearch}
    runs = {run.strategy: run for run in search_runs(DROP, told, [10], 1)}
    assert runs["random"].hv_share > 0
    assert (runs["zerolm"].hv_share, runs["zerolm"].llm_valid, runs["zerolm"].llm_rejected) == (0, 0, 0)
    assert "zerolm, seed 0: ended after 0 evaluations: HTTP 503" in caplog.text


@pytest.mark.parametrize("name", ["optuna-nsga2", "optuna-tpe", "pymoo-nsga2", "pymoo-agemoea2"])
def test_public_optimisers_search(name):
    assert name in installed_outsiders(), "this project's tests need the extra bench"
    made = {name: lambda problem, seed: outsider(name, problem, seed), "random": RandomSearch}
    budget = 100 if name == "optuna-tpe" else 400
    theirs, ours = sorted(summarise(search_runs(DROP, made, [budget], 3)), key=lambda row: row.strategy == "random")
    assert theirs.hv_share_median > ours.hv_share_median + 0.01
    again = search_runs(DROP, {name: made[name]}, [budget], 1)[0]
    assert again.hv_share == search_runs(DROP, {name: made[name]}, [budget], 1)[0].hv_share


def test_a_public_optimiser_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"optuna-tpe needs optuna.*mimar\[bench\]"):
        outsider("optuna-tpe", DROP.toy.problem, 0)


def test_numba_is_needed_by_the_one_that_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingDependencyError, match="pymoo-agemoea2 needs numba"):
        outsider("pymoo-agemoea2", DROP.toy.problem, 0)
    assert outsider("pymoo-nsga2", DROP.toy.problem, 0).name == "pymoo-nsga2"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("nb201_cifar10", "|none~0|", "|what~0|"),
        ("nb201_cifar10", ",1.0", ",fast"),
        ("hwgpt_s", "\n192,10,", "\n192,10,half"),
        ("hwgpt_s", "\n768,12,", "\n768,11,"),
    ],
)
def test_a_table_with_a_cell_that_makes_no_sense_is_a_sentence(tables, name, old, new):
    file = tables / f"{name}.csv"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new) if "12" in old else text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"{name}|\|what~0\|"):
        search_truth(name)


def test_bad_requests_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="layerdrop"):
        search_truth("nope")
    with pytest.raises(InputError, match="at least 1"):
        search_runs(DROP, {"random": RandomSearch}, [0], 1)
    monkeypatch.setenv("MIMAR_DATA", str(tmp_path))
    with pytest.raises(InputError, match="bench fetch nb201_cifar10"):
        search_truth("nb201_cifar10")
    (tmp_path / "nb201_cifar10.csv").write_text("arch,other\nx,1\n")
    with pytest.raises(InputError, match=r"cifar10_val, fpga is missing.* added"):
        search_truth("nb201_cifar10")
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for rows, words in ((f"{cell},70,1\n", "1 cells of 15,625"), (f"{cell},70,\n", "row 1: a cell is empty")):
        (tmp_path / "nb201_cifar10.csv").write_text(f"arch,cifar10_val,fpga\n{rows}")
        with pytest.raises(InputError, match=words):
            search_truth("nb201_cifar10")


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["mimar", "bench", "search", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out, shown.err


def test_the_command(monkeypatch, capsys):
    asked = ("--truth", "layerdrop", "--strategy", "random,nsga2", "--budget", "60,20", "--seeds", "2")
    code, out, _ = command(monkeypatch, capsys, *asked, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["truth"], result["reference_point"]) == ("layerdrop", [1.0, 1.0])
    keys = {"strategy", "budget", "seeds", "hv_share_median", "igd_plus_median", "us_per_candidate"}
    assert all(keys <= set(row) for row in result["summary"])
    assert {(row["strategy"], row["budget"]) for row in result["summary"]} == {
        ("random", 20), ("random", 60), ("nsga2", 20), ("nsga2", 60),
    }  # fmt: skip
    assert len(result["runs"]) == 8
    code, out, _ = command(monkeypatch, capsys, *asked)
    assert code == 0
    shown = " ".join(out.split())
    assert all(word in shown for word in ("random", "nsga2", "exact front of 202 points", "IGD+", "µs"))
    code, out, _ = command(monkeypatch, capsys, *asked, "--markdown")
    assert sum(line.startswith("| ") for line in out.splitlines()) == 1 + 4


@pytest.mark.parametrize(("arguments", "words"), [
    (("--truth", "nope"), ("unknown search problem", "layerdrop")),
    (("--truth", "layerdrop", "--strategy", "nope"), ("unknown strategy", "linas", "optuna-tpe")),
    (("--truth", "layerdrop", "--budget", "many"), ("--budget", "50,150")),
    (("--truth", "layerdrop", "--strategy", "zerolm", "--budget", "8"), ("zerolm", "--llm")),
])  # fmt: skip
def test_mistakes_are_explained(monkeypatch, capsys, arguments, words):
    code, _, err = command(monkeypatch, capsys, *arguments)
    assert code in (2, 4)
    assert all(word in err for word in words), err


def test_a_strategy_that_cannot_begin_is_refused_before_the_others_have_run(monkeypatch, capsys):
    asked = ("--truth", "layerdrop", "--strategy", "random,zerolm", "--budget", "8")
    code, _, err = command(monkeypatch, capsys, *asked)
    assert code in (2, 4)
    assert "random, seed" not in err


def test_the_command_with_a_model_in_neutral_words_and_as_a_picture(monkeypatch, capsys, tmp_path):
    picture = tmp_path / "shares.svg"
    asked = ("--truth", "layerdrop", "--strategy", "niches,one-niche,zerolm,pel-nas:llm-only", "--budget", "16,24")
    code, out, _ = command(
        monkeypatch, capsys, *asked, "--seeds", "2", "--llm", "uniform", "--anonymise", "--plot", str(picture), "--json"
    )
    result = json.loads(out)
    assert code == 0
    assert result["anonymised"]
    asking = {row["strategy"]: row for row in result["summary"] if row["llm"]}
    assert set(asking) == {"zerolm", "pel-nas:llm-only"}
    assert all(row["tokens_per_candidate"] > 0 and row["llm_gain"] is None for row in asking.values())
    drawn = picture.read_text()
    assert all(f">{name}<" in drawn for name in ("niches", "one-niche", "zerolm", "pel-nas:llm-only", "evaluations"))
    code, out, _ = command(monkeypatch, capsys, *asked, "--seeds", "1", "--llm", "uniform", "--markdown")
    assert "| tokens |" in out
    code, _, err = command(
        monkeypatch, capsys, "--truth", "layerdrop", "--strategy", "rz-nas:twice", "--llm", "uniform"
    )
    assert code == 2
    assert "arm of rz-nas" in err
