"""The real provider path, SDKs included, against servers on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import traceback

import pytest

from mimar.errors import InputError, LLMError, MissingKeyError, ProviderError, RateLimitError, ReplyError
from mimar.llm import CallRecord, Message, ProviderLLM, Recording, RejectedError, Retrying

KEY = "sk-very-secret+key/0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"layers": {"type": "integer"}},
    "required": ["layers"],
    "additionalProperties": False,
}


def ask(llm, schema=SCHEMA):
    messages = [Message("system", "Be brief."), Message("user", "How many layers?")]
    return llm.complete(messages, schema, temperature=0.5, seed=-3, max_tokens=50)


def chat(text, *, finish="stop", **message):
    """The body of an OpenAI chat completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "served", "choices": [choice]}
    return json.dumps({**body, "usage": usage}).encode()


def compatible(fake, **options):
    return ProviderLLM("compatible", "served", base_url=f"{fake.url}/v1", **options)


def test_a_compatible_server_gets_the_schema_and_no_key(serve):
    fake = serve(200, chat('{"layers": 12}'))
    reply = ask(compatible(fake))
    assert (reply.parsed, reply.model) == ({"layers": 12}, "served")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost) == (11, 7, 0.0)
    assert reply.usage.seconds > 0
    path, headers, body = fake.requests[0]
    assert path == "/v1/chat/completions"
    assert KEY not in str(headers)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["max_tokens"] == 50
    assert body["seed"] == -3 % 2**31
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_another_providers_key_is_not_sent(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fake = serve(200, chat('{"layers": 12}'))
    ask(compatible(fake))
    assert KEY not in str(fake.requests)
    monkeypatch.setenv("MIMAR_API_KEY", KEY + "x")
    ask(compatible(fake))
    assert KEY + "x" in str(fake.requests[1][1])


ANSWERS = {
    "anthropic": {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": '{"layers": 12}'}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    },
    "google": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": '{"layers": 12}'}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100},
        "modelVersion": "gemini-2.5-flash",
    },
    "openai": json.loads(chat('{"layers": 12}')),
}


@pytest.mark.parametrize(
    ("provider", "model", "variable"),
    [
        ("anthropic", "claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("openai", "gpt-4o-mini", "OPENAI_API_KEY"),
        ("google", "gemini-2.5-flash", "GEMINI_API_KEY"),
        ("google", "gemini-2.5-flash", "GOOGLE_API_KEY"),
    ],
)
def test_each_provider_needs_its_key_and_answers(provider, model, variable, serve, monkeypatch):
    fake = serve(200, json.dumps(ANSWERS[provider]).encode())
    with pytest.raises(MissingKeyError, match=variable):
        ProviderLLM(provider, model)
    monkeypatch.setenv(variable, f" {KEY}\n")
    llm = ProviderLLM(provider, model, base_url=fake.url)
    assert llm.name == f"{provider}:{model}"
    assert ask(llm).parsed == {"layers": 12}
    assert len(fake.requests) == 1
    assert KEY in str(fake.requests[0][1])
    assert "layers" in json.dumps(fake.requests[0][2]), "the schema did not travel"
    monkeypatch.delenv(variable)
    with pytest.raises(MissingKeyError, match=variable):
        ask(llm)


@pytest.mark.parametrize(
    ("provider", "model", "variable", "limit", "thinking"),
    [
        ("openai", "gpt-4o-mini", "OPENAI_API_KEY", 50, {}),
        ("openai", "o4-mini", "OPENAI_API_KEY", 50 + 4096, {"reasoning_effort": "low"}),
        ("google", "gemini-2.5-flash", "GEMINI_API_KEY", 50, {"thinking_budget": 0}),
        ("google", "gemini-2.5-pro", "GEMINI_API_KEY", 50 + 4096, {"thinking_budget": 128}),
    ],
)
def test_models_that_think_do_so_little_and_beside_the_reply(
    provider, model, variable, limit, thinking, serve, monkeypatch
):
    fake = serve(200, json.dumps(ANSWERS[provider]).encode())
    monkeypatch.setenv(variable, KEY)
    ask(ProviderLLM(provider, model, base_url=fake.url))
    body = fake.requests[0][2]
    settings = body.get("generationConfig", body)
    assert limit in (settings.get("max_completion_tokens"), settings.get("maxOutputTokens"))
    sent = settings.get("thinkingConfig", {}) | ({k: settings[k] for k in ["reasoning_effort"] if k in settings})
    assert sent == thinking


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "words"),
    [
        (429, b'{"error": {"message": "slow down"}}', {"retry-after": "7"}, RateLimitError, "asks to wait"),
        (429, b'{"error": {"message": "x", "code": "insufficient_quota"}}', {}, RejectedError, "credit"),
        (500, b"<html>oops</html>", {"content-type": "text/html"}, ProviderError, "500"),
        (503, b"", {}, ProviderError, "503"),
        (529, b'{"error": {"message": "overloaded"}}', {}, ProviderError, "overloaded"),
        (401, b'{"error": {"message": "bad key"}}', {}, MissingKeyError, "set MIMAR_API_KEY"),
        (404, b'{"error": {"message": "no such model"}}', {}, RejectedError, "no such model"),
        (400, b'{"error": {"message": "bad schema"}}', {}, RejectedError, "bad schema"),
        (400, b'{"error": {"type": "exceed_context_size_error"}}', {}, ReplyError, "shorten the prompt"),
        (302, b"", {"location": "http://example.org/"}, ProviderError, "failed"),
        (200, b"garbage {", {}, ProviderError, "failed"),
        (200, b"[1, 2", {"content-type": "text/plain"}, ProviderError, "failed"),
        (200, b'{"choices": []}', {}, ProviderError, "failed"),
        (200, chat("A deep one."), {}, ReplyError, "expected JSON, got 'A deep one.'"),
        (200, chat(""), {}, ReplyError, "empty"),
        (200, chat(None, refusal="I cannot."), {}, ReplyError, "refused to answer: I cannot."),
        (200, chat('{"layers"', finish="length"), {}, ReplyError, "cut at 7 tokens: raise max_tokens"),
        (200, chat('{"layers": "many"}'), {}, ReplyError, "expected integer"),
    ],
)
def test_failures_become_our_errors_after_one_request(status, body, headers, kind, words, serve):
    fake = serve(status, body, headers=headers)
    with pytest.raises(LLMError, match=words) as caught:
        ask(compatible(fake))
    assert type(caught.value) is kind or (kind is ReplyError and isinstance(caught.value, ReplyError))
    assert len(fake.requests) == 1, "the SDK retried on its own"
    if kind is RateLimitError:
        assert caught.value.retry_after == 7.0


def test_a_server_that_hangs_is_given_up_in_time(serve):
    start = time.monotonic()
    with pytest.raises(ProviderError, match="in time"):
        ask(compatible(serve(200, b"", hang=True), timeout=0.3))
    assert time.monotonic() - start < 10


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ProviderError, match="cannot be reached"):
            ask(ProviderLLM("compatible", "m", base_url=url))


def test_retrying_gets_through_a_real_rate_limit(serve):
    fake, waits = serve(429, b"{}", headers={"retry-after": "3"}), []
    with pytest.raises(RateLimitError):
        ask(Retrying(compatible(fake), 3, waits.append))
    assert waits == [3.0, 3.0]
    assert len(fake.requests) == 3


def test_a_running_event_loop_is_no_obstacle(serve):
    llm = compatible(serve(200, chat('{"layers": 12}')))

    async def notebook():
        return ask(llm)

    assert asyncio.run(notebook()).parsed == {"layers": 12}


@pytest.mark.parametrize("provider", ["compatible", "openai", "anthropic", "google"])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_never_comes_out(provider, status, serve, monkeypatch):
    variable = {"compatible": "MIMAR", "google": "GEMINI"}.get(provider, provider.upper()) + "_API_KEY"
    monkeypatch.setenv(variable, KEY)
    echo = json.dumps({"error": {"message": f"{'x' * 280} Incorrect key: {KEY}", "code": status}}).encode()
    fake = serve(status, echo)
    records: list[CallRecord] = []
    llm = ProviderLLM(provider, "gpt-4o-mini", base_url=fake.url)
    with pytest.raises(LLMError) as caught:
        ask(Recording(llm, (), records.append))
    assert KEY in str(fake.requests), "the key was not even sent"
    spoken = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(llm))
    assert "sk-very" not in spoken
    assert "sk-very" not in json.dumps(records[0].to_json())
    link = caught.value
    while link is not None:
        assert "sk-very" not in f"{link!r}{link.args}{vars(link)}"
        link = link.__cause__ or link.__context__


def test_a_reply_that_quotes_the_key_is_redacted(serve, monkeypatch):
    monkeypatch.setenv("MIMAR_API_KEY", KEY)
    reply = ask(compatible(serve(200, chat(f"your key is {KEY}"))), schema=None)
    assert reply.text == "your key is [key]"


@pytest.mark.parametrize("key", ["two words", "key\u2026"])
def test_a_key_that_is_none_is_refused_without_quoting_it(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY holds characters") as caught:
        ProviderLLM("openai", "gpt-4o-mini")
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pass@host/v1",
        "http://host/v1?key=abc",
        "ftp://host/v1",
        "http:///v1",
        "http://[::1",
        "http://host:abc/v1",
    ],
)
def test_addresses_with_secrets_or_without_host_are_refused(url):
    with pytest.raises(InputError) as caught:
        ProviderLLM("compatible", "m", base_url=url)
    assert "pass" not in str(caught.value).replace("password", "")
    assert "abc" not in str(caught.value)


def test_a_compatible_server_needs_an_address():
    with pytest.raises(InputError, match="needs its address"):
        ProviderLLM("compatible", "m")


def test_list_prices_and_models_without_one(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = json.loads(chat('{"layers": 12}'))
    body["usage"] = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    fake = serve(200, json.dumps(body).encode())
    for model, priced in (("gpt-4o-mini", True), ("model-of-tomorrow", False)):
        monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
        llm = ProviderLLM("openai", model)
        assert llm.has_list_price() is priced
        cost = ask(llm).usage.cost
        assert (0.05 < cost < 0.5) if priced else cost == 0
    assert not compatible(fake).has_list_price()
    assert ProviderLLM("compatible", "gpt-4o-mini", base_url="https://api.openai.com/v1").has_list_price()


def test_the_guard_lets_no_test_reach_a_provider(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(LLMError, match="only loopback is allowed"):
        ask(ProviderLLM("openai", "gpt-4o-mini"))
    with pytest.raises(AssertionError, match="only loopback"):
        socket.create_connection(("192.0.2.1", 443))
