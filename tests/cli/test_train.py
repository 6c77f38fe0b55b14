"""`mimar train`: from a trial or a file to a folder with weights, and back after a kill."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer, architecture_from_json, architecture_to_json
from mimar.storage import WriterLock

ARCH = Architecture(
    64, (Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu")),), vocab_size=1000, context_length=64
)
SMALL = ("--context", 32, "--batch-tokens", 256, "--tokens", "5k", "--device", "cpu")


@pytest.fixture
def arch_file(tmp_path):
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(architecture_to_json(ARCH)))
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog ran after the cat\n" * 100)
    return path


def test_a_file_is_trained_into_a_folder(mimar, arch_file, text, tmp_path):
    done = mimar("train", arch_file, "--data", text, "--out", tmp_path / "run", *SMALL, "--json")
    assert done.code == 0, done.err
    result = done.json
    assert 0.0 < result["validation_loss"] < 5.0
    assert result["bits_per_byte"] == pytest.approx(result["validation_loss"] / 0.693147, rel=1e-4)
    assert result["tokens"] == 20 * 256
    files = {file.name for file in (tmp_path / "run").iterdir()}
    assert files == {"architecture.json", "checkpoint.pt", "log.csv", "model.safetensors", "train.json"}
    arch = architecture_from_json(json.loads((tmp_path / "run" / "architecture.json").read_text()))
    assert arch.vocab_size == 256
    model = build(arch)
    model.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[0] == "step,tokens,seconds,rate,train_loss,validation_loss"
    assert [line.split(",")[0] for line in log[1:]] == ["10", "20"]
    assert json.loads((tmp_path / "run" / "train.json").read_text())["validation_loss"] == result["validation_loss"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_at_the_end_costs_nothing(mimar, arch_file, text, tmp_path, monkeypatch):
    whole = mimar("train", arch_file, "--data", text, "--out", tmp_path / "whole", *SMALL, "--json").json
    out = tmp_path / "run"
    out.mkdir()
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=0))
    (out / f".architecture.json.{uuid.UUID(int=0).hex[:8]}").symlink_to("/dev/full")
    command = ("train", arch_file, "--data", text, "--out", out, *SMALL)
    mimar(*command).refused(6, "architecture.json", "make room")
    assert {file.name for file in out.iterdir()} == {"checkpoint.pt", "model.safetensors"}
    done = mimar(*command, "--resume", "--json")
    assert done.code == 0, done.err
    assert done.json["validation_loss"] == whole["validation_loss"]


def test_a_folder_has_one_training_at_a_time(mimar, arch_file, text, tmp_path):
    options = ("--data", text, *SMALL)
    (tmp_path / "run").mkdir()
    lock = WriterLock(tmp_path / "run" / "checkpoint.pt")
    mimar("train", arch_file, *options, "--out", tmp_path / "run").refused(3, "another process is writing to", "run")
    lock.release()
    assert mimar("train", arch_file, *options, "--out", tmp_path / "run").code == 0
    assert not (tmp_path / "run" / "checkpoint.pt-lock").exists()


def test_a_trial_is_trained_with_a_tokenizer_made_from_the_text(mimar, finished, text, tmp_path):
    options = ("--tokenizer", "train:300", "--context", 16, "--batch-tokens", 16, "--tokens", 32, "--device", "cpu")
    shown = mimar("show", finished, "--json").json
    number = min(shown["front"], key=lambda trial: trial["metrics"]["params"])["id"]
    done = mimar("train", f"{finished}#{number}", "--data", text, "--out", tmp_path / "run", *options)
    assert done.code == 0, done.err
    assert "bits per byte" in done.err
    assert (tmp_path / "run" / "tokenizer.json").is_file()


def test_a_study_needs_the_number_of_a_trial_and_an_export_is_known_by_its_folder(mimar, finished, text, tmp_path):
    mimar("train", finished, "--data", text, "--out", tmp_path / "run").refused(2, "is a study", "#ID")
    assert mimar("export", finished, tmp_path / "best", "--to", "json").code == 0
    options = ("--context", 16, "--batch-tokens", 16, "--tokens", 16, "--validation-tokens", 16, "--device", "cpu")
    done = mimar("train", tmp_path / "best", "--data", text, "--out", tmp_path / "run", *options)
    assert done.code == 0, done.err


def test_the_tokenizer_of_a_file_must_fit(mimar, arch_file, text, tmp_path):
    done = mimar("train", arch_file, "--data", text, "--out", tmp_path / "a", *SMALL, "--tokenizer", "train:300")
    assert done.code == 0, done.err
    narrow = json.loads(arch_file.read_text()) | {"vocab_size": 100}
    arch_file.write_text(json.dumps(narrow))
    done = mimar("train", arch_file, "--data", text, "--out", tmp_path / "b", *SMALL, "--tokenizer", tmp_path / "a")
    done.refused(2, "the architecture only 100", "--vocab")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(("options", "words"), [
    (("--data", "nowhere.txt"), ("no such file",)),
    (("--data", "empty.txt"), ("is empty",)),
    (("--data", "text.txt", "--context", 128), ("more than the architecture's 64 tokens",)),
    (("--data", "text.txt", "--precision", "fp8"), ("float32 or bfloat16",)),
    (("--data", "text.txt", "--device", "tpu"), ("auto, cpu or cuda",)),
    (("--data", "text.txt", "--tokens", "many"), ("--tokens",)),
    (("--data", "text.txt", "--resume"), ("no training to go on with",)),
    (("--data", "text.txt", "--learning-rate", 1e9), ("training diverged",)),
    (("--data", "text.txt", "--out", "empty.txt"), ("empty.txt is a file",)),
])  # fmt: skip
def test_what_cannot_be_trained_is_said_in_a_sentence(mimar, arch_file, text, tmp_path, options, words):
    (tmp_path / "empty.txt").touch()
    code = 1 if "--learning-rate" in options else 2
    done = mimar("train", arch_file, "--out", tmp_path / "run", "--batch-tokens", 256, *SMALL, *options)
    done.refused(code, *words)


def test_a_killed_training_ends_with_the_weights_of_one_never_stopped(mimar, arch_file, text, tmp_path):
    command = ["train", arch_file, "--data", text, *SMALL, "--tokens", "40k"]
    assert mimar(*command, "--out", tmp_path / "whole").code == 0
    killed = subprocess.Popen(
        [sys.executable, "-m", "mimar", *map(str, command), "--out", tmp_path / "killed", "--save-every", "0"],
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "killed" / "checkpoint.pt").exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    mimar(*command, "--out", tmp_path / "killed").refused(2, "--resume")
    done = mimar(*command, "--out", tmp_path / "killed", "--save-every", "0", "--resume")
    assert done.code == 0, done.err
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_does_not_go_on_with_another_text_or_validation(mimar, arch_file, text, tmp_path):
    command = ["train", arch_file, "--data", text, *SMALL, "--out", tmp_path / "run"]
    assert mimar(*command).code == 0
    mimar(*command, "--resume", "--validation-tokens", 32).refused(2, "another training", "validation_tokens")
    text.write_text(text.read_text().replace("cat", "hen"))
    mimar(*command, "--resume").refused(2, "another training", "text")


@pytest.mark.parametrize("kind", ["stock", "own code"])
def test_what_was_trained_is_exported_with_its_weights(mimar, arch_file, text, tmp_path, kind):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if kind == "own code":
        arch_file.write_text(json.dumps(architecture_to_json(replace(ARCH, norm_placement="post"))))
    options = ("--data", text, *SMALL, "--tokenizer", "train:300")
    assert mimar("train", arch_file, *options, "--out", tmp_path / "run").code == 0
    done = mimar("export", tmp_path / "run", tmp_path / "out", "--to", "hf", "--json")
    assert done.code == 0, done.err
    trust = kind == "own code"
    assert ("trust_remote_code" in done.json["verdicts"]["transformers"]) == trust
    trained = load_file(tmp_path / "run" / "model.safetensors")
    if trust:  # weights keep our names; that they give our logits a fresh process has checked
        written = load_file(tmp_path / "out" / "model.safetensors")
        assert written.keys() == trained.keys()
        assert all(torch.equal(written[name], value) for name, value in trained.items())
        return
    ours = build(architecture_from_json(json.loads((tmp_path / "run" / "architecture.json").read_text()))).eval()
    ours.load_state_dict(trained)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(tmp_path / "out")("the cat sat")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(input_ids=ids).logits, ours(ids), rtol=1e-3, atol=1e-4)


def test_what_was_trained_runs_in_llama_cpp(mimar, arch_file, text, tmp_path):
    llama = Architecture(
        64, (Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu")),) * 2, vocab_size=300
    )
    arch_file.write_text(json.dumps(architecture_to_json(llama)))
    options = ("--data", text, *SMALL, "--tokenizer", "train:300")
    assert mimar("train", arch_file, *options, "--out", tmp_path / "run").code == 0
    done = mimar("export", tmp_path / "run", tmp_path / "out", "--to", "gguf", "--weights", "Q8_0", "--json")
    assert done.code == 0, done.err
    assert done.json["verdicts"]["llama.cpp"].startswith("ok")
    assert {"model-Q8_0.gguf", "tokenizer.json"} <= set(done.json["files"])
    mimar("export", tmp_path / "run", tmp_path / "o", "--to", "gguf", "--weights", "Q9").refused(2, "Q9", "Q8_0")
    mimar("export", tmp_path / "run", tmp_path / "o", "--to", "hf", "--weights", "Q8_0").refused(2, "--weights", "gguf")


def test_what_is_no_training_is_not_exported(mimar, arch_file, text, tmp_path):
    (tmp_path / "empty").mkdir()
    mimar("export", tmp_path / "empty", "--to", "hf").refused(2, "not the folder of a finished mimar train")
    assert mimar("train", arch_file, "--data", text, *SMALL, "--out", tmp_path / "run").code == 0
    mimar("export", tmp_path / "run", "--to", "csv").refused(2, "--to hf, --to gguf or --to code")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"nothing of the kind")
    mimar("export", tmp_path / "run", "--to", "hf").refused(3, "does not hold the weights")
    assert not (tmp_path / "run-hf").exists()


def test_two_processes_train_one_model(mimar, arch_file, text, tmp_path):
    """On loopback; the step's sequences are shared out unevenly, five to two processes in passes of two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--data", text, "--context", 32, "--batch-tokens", 160, "--micro-batch", 2, "--tokens", "3k", "--json")
    launch = (
        "--cpu", "--num_processes", 2, "--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", port, "-m", "mimar", "train", arch_file, *options, "--out", tmp_path / "two",
    )  # fmt: skip
    command = [sys.executable, "-m", "accelerate.commands.launch", *map(str, launch)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    two = json.loads(found.stdout)
    one = mimar("train", arch_file, *options, "--device", "cpu", "--out", tmp_path / "one").json
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)
    assert (tmp_path / "two" / "checkpoint.pt").exists()


def test_a_student_learns_from_the_folder_of_its_teacher(mimar, arch_file, text, tmp_path):
    options = ("--data", text, *SMALL, "--tokenizer", "train:300", "--json")
    assert mimar("train", arch_file, *options, "--out", tmp_path / "teacher").code == 0
    taught = ("--teacher", tmp_path / "teacher", "--teacher-weight", 0.7, "--temperature", 2)
    done = mimar("train", arch_file, *options, *taught, "--out", tmp_path / "student", "--seed", 1)
    assert done.code == 0, done.err
    assert done.json["teacher"] == {"model": str(tmp_path / "teacher"), "weight": 0.7, "temperature": 2.0}
    alone = mimar("train", arch_file, *options, "--out", tmp_path / "alone", "--seed", 1).json
    assert "teacher" not in alone
    assert alone["validation_loss"] != done.json["validation_loss"]
    refused = mimar("train", arch_file, *options, "--out", tmp_path / "student", "--seed", 1, "--resume")
    refused.refused(2, "teacher")


def test_a_teacher_from_transformers(mimar, arch_file, text, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    options = ("--data", text, *SMALL, "--tokenizer", "train:300", "--json")
    vocab = mimar("train", arch_file, *options, "--out", tmp_path / "first").json["architecture"]["vocab_size"]
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=vocab + 20, **small)).save_pretrained(tmp_path / "llama")
    (tmp_path / "first" / "tokenizer.json").rename(tmp_path / "llama" / "tokenizer.json")
    done = mimar("train", arch_file, *options, "--teacher", tmp_path / "llama", "--out", tmp_path / "student")
    assert done.code == 0, done.err
    weights = tmp_path / "llama" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    damaged = mimar("train", arch_file, *options, "--teacher", tmp_path / "llama", "--out", tmp_path / "other")
    damaged.refused(2, "llama")


def test_code_beside_a_teacher_does_not_run(mimar, arch_file, text, tmp_path):
    assert mimar("train", arch_file, "--data", text, *SMALL, "--out", tmp_path / "first").code == 0
    home = tmp_path / "theirs"
    home.mkdir()
    (home / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    maps = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C", "AutoTokenizer": ["evil.C", None]}
    (home / "config.json").write_text(json.dumps({"model_type": "theirs", "auto_map": maps}))
    (home / "tokenizer_config.json").write_text(json.dumps({"auto_map": maps}))
    done = mimar("train", arch_file, "--data", text, *SMALL, "--teacher", home, "--out", tmp_path / "run")
    done.refused(2, "theirs")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--teacher", "gone"), 2, ("--teacher gone", "no such folder")),
        (("--teacher", "nobody/nothing"), 2, ("nobody/nothing",)),
        (("--teacher", "teacher"), 2, ("another tokenizer", "--tokenizer teacher")),
        (("--teacher", "weightless"), 3, ("weightless", "no weights")),
        (("--teacher", "half"), 3, ("half", "no weights")),
        (("--teacher", "bytes", "--teacher-weight", 2), 2, ("share from 0 to 1",)),
        (("--teacher", "bytes", "--temperature", 0), 2, ("temperature",)),
        (("--teacher", "gone", "--teacher-weight", 2), 2, ("share from 0 to 1",)),
    ],
)
def test_a_teacher_that_cannot_teach(mimar, arch_file, text, tmp_path, options, code, words):
    train = ("train", arch_file, "--data", text, *SMALL)
    assert mimar(*train, "--tokenizer", "train:300", "--out", "teacher").code == 0
    assert mimar(*train, "--out", "bytes").code == 0
    (tmp_path / "weightless").mkdir()
    (tmp_path / "bytes" / "architecture.json").rename(tmp_path / "weightless" / "architecture.json")
    (tmp_path / "bytes" / "architecture.json").write_text((tmp_path / "weightless" / "architecture.json").read_text())
    shutil.copytree(tmp_path / "bytes", tmp_path / "half")
    weights = tmp_path / "half" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    mimar(*train, *options, "--out", "student").refused(code, *words)
    assert not (tmp_path / "student" / "checkpoint.pt").exists()
