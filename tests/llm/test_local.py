from __future__ import annotations

import subprocess
import sys

import pytest

from mimar.errors import InputError, ReplyError
from mimar.llm import LocalLLM, Message

SCHEMA = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {"layers": {"type": "integer", "minimum": 2, "maximum": 24}},
                "required": ["layers"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}


def ask(llm, text="Give layer counts.", *, schema=SCHEMA, seed=1, max_tokens=96):
    return llm.complete([Message("user", text)], schema, temperature=1.0, seed=seed, max_tokens=max_tokens)


@pytest.fixture(scope="module")
def llm(default_model):
    return LocalLLM(default_model, context=512, threads=1)


def test_what_is_no_model_is_refused_before_the_first_call(tmp_path):
    text = tmp_path / "model.gguf"
    text.write_text("not a model")
    for path, words in (
        (text, "begins with b'not '"),
        (tmp_path / "none.gguf", "No such file"),
        (tmp_path, "cannot read"),
    ):
        with pytest.raises(InputError, match=words):
            LocalLLM(path)


def test_a_damaged_model_is_refused_at_the_first_call(tmp_path):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 1000)
    with pytest.raises(InputError, match=r"llama\.cpp cannot load"):
        ask(LocalLLM(path))


@pytest.mark.slow
def test_constrained_replies_are_compact_and_repeat_whatever_was_asked_before(llm, default_model):
    first = ask(llm)
    assert " " not in first.text
    assert "\n" not in first.text
    assert 2 <= len(first.parsed["items"]) <= 3
    other = ask(llm, "Something else entirely, at some length.", seed=2)
    assert ask(llm).text == first.text
    assert ask(LocalLLM(default_model, context=512, threads=2)).text == first.text
    assert {first.text} != {other.text, *(ask(llm, seed=seed).text for seed in (3, 4, 5))}
    assert first.usage.input_tokens > 10
    assert first.usage.output_tokens > 10
    assert first.usage.cost == 0


@pytest.mark.slow
def test_a_prompt_beyond_the_context_and_a_reply_that_is_cut(llm):
    with pytest.raises(ReplyError, match="the context 512: shorten the prompt"):
        ask(llm, "layers " * 600)
    with pytest.raises(ReplyError, match="cut at 3 tokens: raise max_tokens"):
        ask(llm, max_tokens=3)


@pytest.mark.slow
def test_nothing_reaches_the_terminal(default_model):
    code = (
        "import sys; from pathlib import Path; from mimar.llm import LocalLLM, Message\n"
        "llm = LocalLLM(Path(sys.argv[1]), context=256, threads=1)\n"
        "llm.complete([Message('user', 'Hi')], None, temperature=0.0, seed=1, max_tokens=4)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(default_model)], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
