from __future__ import annotations

import json
import subprocess
import sys

import pytest

import mimar.llm
from mimar.cli._llm import open_llm
from mimar.errors import CostLimitError, InputError, MissingKeyError, ReplayError, UnknownNameError
from mimar.llm import Message, Recording
from mimar.testing._llm import ScriptedLLM


def no_calls(path):
    return ()


def ask(llm, seed=0):
    return llm.complete([Message("user", "hi")], None, temperature=0.0, seed=seed, max_tokens=8)


def recorded(price=0.0):
    records = []
    ask(Recording(ScriptedLLM(["hello"], name="openai:gpt-4o-mini", price=price), (), records.append))
    return records


def test_none_is_no_model():
    assert open_llm("none", read_calls=no_calls) is None


@pytest.mark.parametrize("spec", ["", "claude", "cohere:command", "LOCAL", "none:x", "htp://host/v1#m"])
def test_unknown_forms_list_the_known_ones(spec):
    with pytest.raises(UnknownNameError, match=r"expected one of none, local, .*replay:STUDY"):
        open_llm(spec, read_calls=no_calls)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("anthropic:", "anthropic:MODEL"),
        ("openai", "openai:MODEL"),
        ("http://127.0.0.1:1/v1", "http://HOST/v1#MODEL"),
        ("http://user:secret@host/v1#m", "MIMAR_API_KEY"),
        ("local", "run `mimar get-llm`"),
        ("local:", "got nothing"),
        ("local:no-such-file.gguf", "no-such-file"),
        ("replay:", "expected a study file"),
        ("replay:no-such-study.db", "expected a study file"),
    ],
)
def test_unusable_forms_say_what_is_missing(spec, words):
    with pytest.raises(InputError, match=words) as caught:
        open_llm(spec, read_calls=no_calls)
    assert "secret" not in str(caught.value)


def test_a_missing_key_is_told_before_the_first_call():
    with pytest.raises(MissingKeyError, match="GEMINI_API_KEY or GOOGLE_API_KEY"):
        open_llm("google:gemini-2.5-flash", read_calls=no_calls)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_cost_limit_below_zero_is_refused(limit):
    with pytest.raises(InputError, match="at least 0"):
        open_llm("none", read_calls=no_calls, max_cost=limit)


def test_names(monkeypatch, default_model):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    names = {
        "openai:gpt-4o-mini": "openai:gpt-4o-mini",
        "http://127.0.0.1:9/v1/#qwen3": "http://127.0.0.1:9/v1#qwen3",
        f"local:{default_model}": "local:SmolLM2-135M-Instruct.Q4_1.gguf",
    }
    for spec, name in names.items():
        llm = open_llm(spec, read_calls=no_calls)
        assert llm is not None
        assert llm.name == name


def test_replay_answers_from_a_study(tmp_path):
    study = tmp_path / "study.db"
    study.write_text("")
    llm = open_llm(f"replay:{study}", read_calls=lambda path: recorded() if path == study else ())
    assert llm is not None
    reply = ask(llm)
    assert reply.text == "hello"
    assert reply.usage.cached
    with pytest.raises(ReplayError):
        ask(llm, seed=1)
    with pytest.raises(InputError, match="holds no call"):
        open_llm(f"replay:{study}", read_calls=no_calls)


def chat(text):
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
    usage = {"prompt_tokens": 10**7, "completion_tokens": 1, "total_tokens": 10**7 + 1}
    return json.dumps(
        {**body, "choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}
    ).encode()


def test_a_hosted_model_is_cached_limited_recorded_and_resumed(serve, monkeypatch):
    fake = serve(200, chat("hi"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)

    def reopen(records, past):
        llm = open_llm("openai:gpt-4o-mini", read_calls=no_calls, past=past, max_cost=1.0)
        assert llm is not None
        return Recording(llm, past, records.append)

    records = []
    llm = reopen(records, ())
    assert ask(llm).usage.cost > 1.0
    with pytest.raises(CostLimitError):
        ask(llm, seed=1)
    assert ask(llm).usage.cached, "a reply in the cache is free, also beyond the limit"
    assert len(fake.requests) == 1
    more = []
    resumed = reopen(more, records)
    assert ask(resumed).text == "hi"
    with pytest.raises(CostLimitError):
        ask(resumed, seed=1)
    ask(resumed)
    with pytest.raises(CostLimitError):
        ask(resumed, seed=2)
    assert len(more) == 1
    assert len(fake.requests) == 1


def test_exported_names():
    assert mimar.llm.__all__ == sorted(
        mimar.llm.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    public = {name for name, value in vars(mimar.llm).items() if not name.startswith("_")}
    assert set(mimar.llm.__all__) == public - {"annotations"}


def test_importing_is_light():
    code = (
        "import sys, mimar.llm, mimar.cli._llm, mimar.cli._get_llm\n"
        "heavy = {'pydantic_ai', 'pydantic', 'openai', 'anthropic', 'google.genai', 'httpx2', 'xllamacpp', 'torch',"
        " 'huggingface_hub', 'genai_prices', 'numpy', 'asyncio'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
