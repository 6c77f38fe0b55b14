"""`mimar bench` as users meet it."""

import json
import re
import sys

import pytest

from mimar.cli import main
from mimar.cli._bench_proxies import LEFT_OUT, bench_proxies, print_table
from mimar.proxies import PROXIES

KEYS = {
    "proxy", "n", "tau", "rho", "tau_within", "tau_iso", "regret_iso", "tau_added", "top10_overlap", "ci95",
    "ms_per_architecture",
}  # fmt: skip


@pytest.fixture
def mimar(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mimar", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return run


def test_json(data, mimar):
    code, out, _ = mimar("bench", "proxies", "--truth", "some_hwgpt", "--json")
    result = json.loads(out)
    assert (code, result["truth"], result["n"], result["default"]) == (0, "some_hwgpt", 30, PROXIES[0].name)
    assert [row["proxy"] for row in result["rows"]] == [
        PROXIES[0].name, "params", "nonembedding_params", "flops", "depth_width",
    ]  # fmt: skip
    assert all(set(row) >= KEYS for row in result["rows"])


def test_tables(data, mimar):
    table = mimar("bench", "proxies", "--truth", "some_lts", "--proxy", "hpm,zerolm_weights", "--sample", "4")
    assert table[0] == 0
    assert all(word in table[1] for word in ("hpm", "zerolm_weights", "depth_width ·", "some_lts", "τ size", "adds"))
    assert "…" not in table[1].replace(" … ", "")  # nothing is cut where no terminal limits the width
    code, out, _ = mimar("bench", "proxies", "--truth", "some_flexibert", "--proxy", "closed", "--markdown")
    lines = [line for line in out.splitlines() if line.startswith("| ")]
    closed = [proxy for proxy in PROXIES if proxy.cost == "closed form"]
    assert (code, len(lines)) == (0, 1 + len(closed))
    assert all(line.count("|") == 12 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--truth", "nope"), ("unknown truth", "some_lts")),
        (("--truth", "mine"), ("--label", "perplexity")),
        (("--truth", "some_lts", "--proxy", "nope"), ("unknown score", "default", "rz_nas_ensemble")),
        (("--truth", "some_lts", "--label", "gone"), ("gone", "test_ppl")),
        (("--truth", "some_lts", "--data", "/nowhere"), ("no such folder", "--data")),
        (("--truth", "some_lts", "--sample", "1"), ("--sample", "--help")),
        ((), ("--truth", "--help")),
    ],
)
def test_bad_input_is_one_sentence(data, mimar, arguments, words):
    code, out, err = mimar("bench", "proxies", *arguments, "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)
    assert all(word in err.splitlines()[-1] for word in words)


def test_scores_are_kept(data, mimar, tmp_path):
    arguments = ("--truth", "some_lts", "--proxy", "zerolm_weights", "--sample", "4", "--scores", tmp_path / "s.csv")
    first = mimar("bench", "proxies", *arguments, "--json")
    kept = (tmp_path / "s.csv").read_text()
    again = mimar("bench", "proxies", *arguments, "--json")
    assert (first[0], again[0], len(kept.splitlines())) == (0, 0, 5)
    assert (tmp_path / "s.csv").read_text() == kept
    assert json.loads(first[1])["rows"][0]["tau"] == json.loads(again[1])["rows"][0]["tau"]
    (tmp_path / "s.csv").write_text("mine\n")
    code, _, err = mimar("bench", "proxies", *arguments)
    assert (code, "choose another name" in err) == (2, True)


def test_a_file_that_no_score_needs_is_said(data, mimar, tmp_path):
    code, _, err = mimar("bench", "proxies", "--truth", "some_lts", "--scores", tmp_path / "s.csv")
    assert (code, "is not needed" in err, (tmp_path / "s.csv").exists()) == (0, True, False)


@pytest.mark.parametrize(
    ("width", "gone"), [(120, []), (80, ["95 %", "n"]), (60, ["95 %", "n", "ρ", "top10", "τ cell"])]
)
def test_a_narrow_terminal_shows_fewer_columns_and_says_which(data, monkeypatch, capsys, width, gone):
    result = bench_proxies("some_lts", "closed")
    for row in result["rows"]:
        row["ms_per_architecture"] = 0.00625  # as it is measured its digits differ, and with them the width
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(result)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    head = next(line for line in lines if line.startswith("proxy"))
    assert [name for name in LEFT_OUT if f" {name} " not in f"{head} "] == gone
    assert max(map(len, lines)) <= width
    said = re.search(r"A wider terminal, or --json, also has (.*)\.", " ".join(" ".join(lines).split()))
    assert (said.group(1).split(", ") if said else []) == gone
    assert any(line.startswith("adw *") for line in lines)


def test_a_judge_beside_other_scores(data, mimar):
    arguments = ("--truth", "some_hwgpt", "--proxy", "llm-judge,hpm,adw", "--llm", "uniform", "--bins", "1")
    code, out, err = mimar("bench", "proxies", *arguments, "--json")
    result = json.loads(out)
    rows = {row["proxy"]: row for row in result["rows"]}
    assert (code, result["n"], result["bins"], result["bin_size"]) == (0, 20, 1, 20)
    assert list(rows) == ["hpm", "adw", "params", "nonembedding_params", "flops", "depth_width", "llm-judge"]
    assert {row["n"] for row in rows.values()} == {20}
    assert set(rows["llm-judge"]) == set(rows["adw"])
    assert rows["llm-judge"]["tau"] is None
    assert -1 <= rows["llm-judge"]["tau_iso"] <= 1
    judge = result["judge"]
    assert (judge["llm"], judge["calls"], judge["answers"], judge["candidates"]) == ("uniform", 3, 3, 20)
    assert judge["tokens_per_candidate"] == pytest.approx(judge["tokens"] / 20)
    assert set(judge["bins"][0]) == {"smallest", "largest", "tau", "regret", "self_consistency"}
    assert "llm-judge: bin 1 of 1" in err
    code, out, _ = mimar("bench", "proxies", *arguments, "--markdown")
    line = next(line for line in out.splitlines() if line.startswith("| llm-judge"))
    assert line.split("|")[3].strip() == "–"
    assert "20 rows in 1 bins" in out
    assert f"self-consistency τ {judge['self_consistency']:.3f}" in out
    assert f"{judge['tokens_per_candidate']:.0f} tokens an architecture" in out
    shown = mimar("bench", "proxies", *arguments)[1]
    assert "llm-judge" in shown
    assert "3 usable answers to 3 calls" in " ".join(shown.split())


def test_bins_without_a_judge_are_those_with_one(data, mimar):
    arguments = ("--truth", "some_hwgpt", "--bins", "1", "--json")
    alone = json.loads(mimar("bench", "proxies", *arguments)[1])
    judged = json.loads(mimar("bench", "proxies", *arguments, "--proxy", "llm-judge,adw", "--llm", "uniform")[1])
    assert "judge" not in alone
    figures = ("proxy", "n", "tau", "tau_iso", "regret_iso", "bin_size")
    for one, other in zip(alone["rows"], judged["rows"], strict=False):
        assert [one[name] for name in figures] == [other[name] for name in figures]
    whole = json.loads(mimar("bench", "proxies", "--truth", "some_hwgpt", "--json")[1])
    assert (whole["bins"], whole["n"]) == (None, 30)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--proxy", "llm-judge", "--bins", "1"), ("llm-judge needs a language model", "--llm local")),
        (("--proxy", "llm-judge", "--llm", "uniform"), ("up to 1 bins of 20", "--bins 3")),
        (("--proxy", "llm-judge", "--llm", "uniform", "--sample", "9"), ("--sample draws rows", "only one of them")),
        (("--bins", "1", "--sample", "9"), ("--sample draws rows",)),
        (("--proxy", "llm-judge", "--llm", "oracle", "--bins", "1"), ("unknown language model 'oracle'",)),
    ],
)
def test_bad_input_to_a_judge_is_one_sentence(data, mimar, arguments, words):
    code, _, err = mimar("bench", "proxies", "--truth", "some_hwgpt", *arguments)
    assert code == 2
    assert all(word in err.splitlines()[-1] for word in words)


def test_all_scores_ask_no_model(data, mimar):
    code, out, err = mimar("bench", "proxies", "--truth", "some_lts", "--proxy", "closed", "--llm", "local", "--json")
    assert (code, "only llm-judge asks a language model" in err) == (0, True)
    assert "llm-judge" not in [row["proxy"] for row in json.loads(out)["rows"]]


def test_predictors(data, mimar):
    arguments = ("--truth", "some_lts", "--predictor", "ridge", "--train", "12,14", "--seeds", "2")
    code, out, err = mimar("bench", "predictors", *arguments, "--json")
    result = json.loads(out)
    assert (code, result["n"], result["quantity"], result["seeds"]) == (0, 24, "ln valid_ppl", 2)
    assert [(row["predictor"], row["train"], row["tested"]) for row in result["rows"]] == [
        (name, size, 24 - size) for size in (12, 14) for name in (PROXIES[0].name, "ridge")
    ]
    assert all(0 <= row["within_50"] <= row["within_80"] <= row["within_95"] <= 1 for row in result["rows"])
    assert "fitting ridge to 12 rows" in err
    code, out, _ = mimar("bench", "predictors", *arguments, "--markdown")
    assert (code, sum(line.startswith("| ") for line in out.splitlines())) == (0, 5)
    code, out, _ = mimar("bench", "predictors", *arguments)
    assert (code, "in 80 %" in out, "\nridge" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--predictor", "oracle"), ("unknown predictor", "gaussian_process")),
        (("--train", "some"), ("50,200", "'some'")),
        (("--train", "9"), ("from 10 to 14", "got 9")),
        (("--train", "15"), ("from 10 to 14", "got 15")),
    ],
)
def test_bad_input_to_predictors_is_one_sentence(data, mimar, arguments, words):
    code, _, err = mimar("bench", "predictors", "--truth", "some_lts", *arguments)
    assert code == 2
    assert all(word in err.splitlines()[-1] for word in words)


@pytest.mark.slow
def test_a_large_truth_is_sampled_aloud(data, mimar):
    lines = (data / "mine.csv").read_text().splitlines()
    (data / "mine.csv").write_text("\n".join([lines[0], *lines[1:] * 101]))
    arguments = ("--truth", "mine", "--label", "perplexity", "--proxy", "hpm,zerolm_weights")
    code, out, err = mimar("bench", "proxies", *arguments, "--json")
    found = {row["proxy"]: row["n"] for row in json.loads(out)["rows"]}
    assert (code, found["hpm"], found["zerolm_weights"]) == (0, 2020, 500)
    assert "saw a sample of the 2020 rows" in err


def test_fetch_without_an_answer(tmp_path, mimar):
    code, out, err = mimar("bench", "fetch", "hwgpt_s", "--to", tmp_path, "--mirror", "http://127.0.0.1:9", "--json")
    assert (code, json.loads(out)["exit_code"]) == (1, 1)
    assert "needs a network" in err
    code, _, err = mimar("bench", "fetch", "nope", "--to", tmp_path)
    assert code == 2
    assert "lts_gpt2_wt103" in err


def test_hardware_says_what_it_needs(mimar, tmp_path):
    code, _, err = mimar("bench", "hardware", "--part", "speed,magic")
    assert (code, "expected one of speed, memory, published" in err) == (2, True)
    code, _, err = mimar("bench", "hardware", "--part", "speed", "--dtype", "int8")
    assert (code, "fp32, bf16, fp16" in err) == (2, True)
    code, _, err = mimar("bench", "hardware", "--data", tmp_path)  # before anything is measured
    assert code == 2
    assert str(tmp_path) in err


def test_hardware_memory_is_measured(mimar):
    code, out, _ = mimar(
        "bench", "hardware", "--part", "memory", "--models", 2, "--ctx", 32, "--prompt-tokens", 16, "--json"
    )
    assert code == 0
    assert json.loads(out)["memory"]["n"] == 2
