"""Strategies in the space of a table: what guides them, what is said of them, and what is trained."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mimar.bench import (
    GuidedSearcher,
    TableExpectation,
    TinyRun,
    TinySearch,
    TinyTable,
    TruthPlan,
    good_loss,
    make_truth,
    tiny_architectures,
    tiny_runs,
    tiny_summaries,
)
from mimar.bench._make_truth import COLUMNS
from mimar.cli import main
from mimar.errors import InputError, ProviderError
from mimar.llm import UniformLLM
from mimar.proxies import DecoderSubject, ProxyInputs, adw
from mimar.shapes import nonembedding_parameters
from mimar.space import architecture_from_json, architecture_to_json
from mimar.strategy import Brief, LLMSearch, RandomSearch, RegularisedEvolution, ZeroLM
from mimar.testing import ScriptedLLM
from mimar.training import Recipe, TokenData, tokenizer_named

COUNT = 60


def planted_loss(arch):
    """Convolutions and width help, depth hurts."""
    share = sum(block.mixer.kind == "convolution" for block in arch.blocks) / arch.num_layers
    return 4.5 - 0.8 * share - 0.3 * np.log(arch.hidden_size / 256) + 0.2 * np.log(arch.num_layers)


def write_planted(path, vocab_size, context):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, arch in enumerate(tiny_architectures(COUNT, vocab_size, context)):
            loss = planted_loss(arch)
            row = {"id": number, "seed": 0, "nonembedding_params": nonembedding_parameters(arch), "seconds": 1}
            row |= {f"loss_at_{share}%": loss + 1 for share in (10, 25, 50)}
            writer.writerow(row | {"validation_loss": loss, "architecture": json.dumps(architecture_to_json(arch))})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("truth") / "tiny.csv"
    write_planted(target, 256, 256)
    return target


@pytest.fixture(scope="module")
def table(path):
    return TinyTable.read(path)


@pytest.fixture(scope="module")
def search(table):
    return TinySearch.over(table, zero_shot=False)


def test_what_a_table_foretells_holds_for_architectures_that_it_does_not_hold(search):
    expectation = search.expectation
    archs = [search.problem.space.sample(np.random.default_rng(seed)) for seed in range(60)]
    inside = [arch for arch in archs if not search.problem.check(arch)]
    assert len(inside) >= 10
    errors = [expectation(arch) - planted_loss(arch) for arch in inside]
    assert np.sqrt(np.mean(np.square(errors))) < 2 * expectation.error < 0.3
    assert expectation.tau > 0.7
    assert 10 <= expectation.judged < 40


def test_what_it_says_of_itself_is_of_the_searched_space(table, search):
    """Losses of tied heads are noise here: no learner can tell them, and none of them lies in the space."""
    noise = np.random.default_rng(0).normal(4, 3, len(table.rows))
    rows = tuple(
        replace(row, losses=(float(other),)) if row.architecture.tied_embeddings else row
        for row, other in zip(table.rows, noise, strict=True)
    )
    disturbed = TableExpectation.fit(TinyTable(rows, 0), search.problem.space)
    inside = [row for row in table.rows if not search.problem.space.validate(row.architecture)]
    assert disturbed.judged == len(inside)
    assert disturbed.error < 1.5
    few = [row for row in table.rows if search.problem.space.validate(row.architecture)][:20]
    assert TableExpectation.fit(TinyTable(tuple(few), 0), search.problem.space).judged == 20


def test_a_table_of_a_few_rows_foretells_nothing(table, search):
    with pytest.raises(InputError, match="at least 10 architectures, got 9"):
        TableExpectation.fit(TinyTable(table.rows[:9], 0), search.problem.space)


def test_searches_find_what_the_table_foretells(search, table):
    told = []
    searchers = {"random": RandomSearch, "evolution": RegularisedEvolution}
    runs = tiny_runs(search, searchers, (16, 80), 3, progress=lambda *each: told.append(each))
    assert told == [(name, seed) for name in searchers for seed in range(3)]
    assert len(runs) == 12
    for run in runs:
        assert search.problem.check(run.best) == ()
        assert run.expected == search.expectation(run.best)
    by_run = {(run.strategy, run.seed, run.budget): run.expected for run in runs}
    assert all(by_run[name, seed, 80] <= by_run[name, seed, 16] for name in searchers for seed in range(3))
    rows = tiny_summaries(runs, table)
    assert [row.budget for row in rows] == [16, 16, 80, 80]
    assert rows[2].strategy == "evolution"
    assert rows[2].expected == np.median([by_run["evolution", seed, 80] for seed in range(3)])
    assert all(row.trained is row.hits is row.better is None for row in rows)


def test_behind_zero_shot_the_score_alone_guides(table):
    search = TinySearch.over(table, zero_shot=True)
    (run,) = tiny_runs(search, {"random": RandomSearch}, (20,), 1)
    rival = RandomSearch(search.problem, 0)
    drawn = [proposal.architecture for _ in range(4) for proposal in rival.ask(8) if not proposal.reasons][:20]
    scores = [adw(ProxyInputs(DecoderSubject(arch))) for arch in drawn]
    assert run.best == drawn[int(np.argmax(scores))]
    assert "expected_loss" not in search.evaluate(run.best)


def test_calls_of_an_llm_are_counted_and_one_that_dies_has_no_row(search, caplog):
    def dead(messages, schema, seed):
        raise ProviderError("HTTP 503")

    def make(problem, seed, llm):
        return LLMSearch(problem, seed, ZeroLM(problem, llm, Brief("none", "a benchmark")))

    searchers = {"dead": GuidedSearcher(ScriptedLLM(dead), make), "alive": GuidedSearcher(UniformLLM(), make)}
    (run,) = tiny_runs(search, searchers, (20,), 1)
    assert run.strategy == "alive"
    assert run.llm_calls > 1
    assert run.llm_tokens > 100
    assert "dead, seed 0: ended after 0 evaluations: HTTP 503" in caplog.text


def run_of(strategy, seed, table, place, trained):
    return TinyRun(strategy, seed, 10, table.rows[place].architecture, 4.0 + seed, 0.5, 0, 0, 0.0, trained)


def test_hits_are_as_good_as_the_best_tenth_once_trained(table):
    losses = sorted(row.loss for row in table.rows)
    good, middle = losses[COUNT // 10 - 1], losses[COUNT // 2]
    runs = [run_of("a", 0, table, 0, good), run_of("a", 1, table, 1, middle), run_of("b", 0, table, 2, good + 1e-6)]
    rows = {row.strategy: row for row in tiny_summaries(runs, table)}
    assert (rows["a"].hits, rows["b"].hits) == (0.5, 0.0)
    assert rows["b"].better == pytest.approx(0.1)
    assert rows["a"].trained_range == (good, middle)
    assert list(rows) == ["b", "a"]  # by the median of what was trained
    assert good_loss(table) == good


def test_what_fails_in_training_is_worse_than_anything_and_what_was_not_trained_stands_last(table):
    runs = [
        run_of("fails", 0, table, 0, math.inf),
        run_of("fails", 1, table, 1, 4.0),
        run_of("fails", 2, table, 2, math.inf),
    ]
    runs += [run_of("once", 0, table, 0, 4.5), run_of("once", 1, table, 1, 4.6), run_of("once", 2, table, 2, math.inf)]
    runs += [run_of("untrained", 0, table, 0, None)]
    rows = tiny_summaries(runs, table)
    assert [(row.strategy, row.trained, row.failed) for row in rows] == [
        ("once", 4.6, 1), ("untrained", None, 0), ("fails", None, 2),
    ]  # fmt: skip
    assert rows[2].hits == pytest.approx(1 / 3 if good_loss(table) >= 4.0 else 0.0)
    assert rows[2].better == 1.0
    assert rows[1].hits is rows[1].better is None
    plain = json.loads(json.dumps(runs[0].to_json(), allow_nan=False))
    assert (plain["trained"], plain["failed"]) == (None, True)


@pytest.mark.parametrize(("budgets", "seeds"), [((), 1), ((0,), 1), ((5,), 0)])
def test_searches_without_evaluations_are_refused(search, budgets, seeds):
    with pytest.raises(InputError, match="at least 1"):
        tiny_runs(search, {"random": RandomSearch}, budgets, seeds)


def mimar(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["mimar", "bench", "search", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


@pytest.mark.slow
def test_the_command_trains_what_is_found_once(monkeypatch, capsys, tmp_path):
    """On a table of its own text; darts trains its model on the same text."""
    text, held_out = tmp_path / "text.txt", tmp_path / "valid.txt"
    words = np.random.default_rng(0).choice(["one ", "two ", "three ", "four\n"], size=3000)
    text.write_text("".join(words))
    held_out.write_text("".join(words[:400]))
    data = TokenData.of([text.read_text()], [held_out.read_text()], tokenizer_named("byte", []))
    table = tmp_path / "own.csv"
    recipe = Recipe(tokens=256, context_length=64, batch_tokens=128)
    make_truth(table, data, recipe, TruthPlan(0, 0), measure=False)  # how it would be made
    write_planted(table, data.vocab_size, 64)
    common = ("--truth", table, "--text", text, "--validation", held_out, "--tokenizer", "byte")
    common += ("--budget", 8, "--seeds", 1, "--kept", tmp_path / "winners.csv")
    code, out, err = mimar(monkeypatch, capsys, *common, "--strategy", "random,darts", "--json")
    result = json.loads(out)
    assert code == 0, err
    assert [run["strategy"] for run in result["runs"]] == ["random", "darts"]
    assert all(1.0 < run["trained"] < 7.0 for run in result["runs"]), result["runs"]
    assert all(architecture_from_json(run["best"]).vocab_size == data.vocab_size for run in result["runs"])
    kept = (tmp_path / "winners.csv").read_text()
    code, out, _ = mimar(monkeypatch, capsys, *common, "--strategy", "random", "--markdown")
    assert code == 0
    assert "| random | 8 | 1 |" in out
    assert (tmp_path / "winners.csv").read_text() == kept
    code, _, err = mimar(monkeypatch, capsys, *common, "--strategy", "random", "--kept", table)
    assert code == 2
    assert "is the table that is searched" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("decoder_tiny", "--strategy", "darts"), "--text FILE"),
        (("decoder_tiny", "--plot", "x.svg"), "--plot"),
        (("decoder_tiny:zero-shot", "--strategy", "zerolm"), "needs a language model"),
        (("decoder_tiny", "--validation", "x.txt"), "--text"),
        (("layerdrop", "--text", "x.txt"), "decoder_tiny"),
        (("layerdrop", "--processes", "2"), "--processes: for decoder_tiny"),
        (("nb201_cifar10", "--problem-seed", "0"), "--problem-seed: for layerdrop alone"),
        (("decoder_tiny", "--problem-seed", "1"), "--problem-seed: not for decoder_tiny"),
        (("decoder_tiny", "--kept", "x.csv"), "--kept: about the training on --text"),
        (("gone.csv",), "no such file"),
        (("decoder_tin",), "decoder_tiny"),
    ],
)
def test_the_command_refuses_in_a_sentence(monkeypatch, capsys, options, words):
    code, _, err = mimar(monkeypatch, capsys, "--truth", *options)
    assert code == 2
    assert words in err.splitlines()[-1]
