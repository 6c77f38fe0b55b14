"""The command line as users meet it: in this process where that is enough, else as a process of its own.

No test here reaches beyond this machine: there are no keys, and the cache is a private folder.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mimar.cli import main
from mimar.llm import KEY_VARIABLES

Answer = tuple[int, str | bytes]
"""HTTP status and body; a body of text becomes the content of a chat completion."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as the one JSON object that it has to be."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def refused(self, code: int, *words: str) -> None:
        """The command ended with `code` and a last line on standard error that holds all `words`; no traceback."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        sentence = self.err.strip().splitlines()[-1]
        assert sentence.startswith("error: "), self.err
        for word in words:
            assert word in sentence


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no proxies, a private cache and working directory, a terminal of fixed width."""
    for variable in (name for names in KEY_VARIABLES.values() for name in names):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def heed_interrupts() -> None:
    """A test run that a script put into the background ignores Ctrl-C, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _mimar(*arguments: object) -> Outcome:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["mimar", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def mimar() -> Callable[..., Outcome]:
    """Runs a command in this process."""
    return _mimar


@pytest.fixture
def design() -> Callable[..., Outcome]:
    """Runs a small ``mimar design --json`` in this process; later options overrule those given here."""

    def run(*arguments: object) -> Outcome:
        small = ("--device", "laptop-cpu", "--ctx", 256, "--trials", 16, "--study", "study.db", "--json")
        return _mimar("design", *small, *arguments)

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command as a process of its own: ``process("show", "study.db", env={...}, preexec_fn=...)``."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, preexec_fn: Any = None) -> Any:
        command = [sys.executable, "-m", "mimar", *map(str, arguments)]
        environment = {**os.environ, **(env or {})}
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, preexec_fn=preexec_fn, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of 16 trials; tests that change it copy it."""
    path = tmp_path_factory.mktemp("finished") / "study.db"
    options = ("--device", "laptop-cpu", "--max-params", "30M", "--ctx", 256, "--trials", 16, "--study", path)
    assert _mimar("design", *options, "--json").code == 0
    return path


@dataclass
class Stub:
    """An OpenAI-compatible server on loopback; `spec` is what ``--llm`` takes, `requests` what was asked of it."""

    address: str
    requests: list[Any] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def spec(self) -> str:
        """This server as ``--llm`` takes it."""
        return f"{self.address}/v1#stub"


@pytest.fixture
def serve() -> Iterator[Callable[..., Stub]]:
    """Starts stub servers: ``serve(answer, headers={...})`` with answer(request, request headers) → `Answer`.

    The answer ``(0, "")`` keeps the client waiting until the test ends.
    """
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[Any, Mapping[str, str]], Answer], headers: Mapping[str, str] | None = None) -> Stub:
            return stack.enter_context(_serving(answer, headers or {}))

        yield start


@pytest.fixture
def good_llm() -> Callable[[Any, Mapping[str, str]], Answer]:
    """As many small legal candidates as are asked for, or words where those are, the same for the same request."""

    def answer(request: Any, _: Mapping[str, str]) -> Answer:
        rng = random.Random(json.dumps(request, sort_keys=True))
        asked = request["response_format"]["json_schema"]["schema"]["properties"]
        words = {name: ["wider"] if rule["type"] == "array" else "wider" for name, rule in asked.items()}
        if "candidates" not in asked:
            return 200, json.dumps(words)
        return 200, json.dumps(
            words | {"candidates": [_candidate(rng) for _ in range(asked["candidates"]["minItems"])]}
        )

    return answer


def _candidate(rng: random.Random) -> dict[str, Any]:
    return {
        "num_layers": rng.randint(4, 12),
        "hidden_size": rng.choice([256, 320, 384]),
        "attention_type": rng.choice(["multi_head", "multi_query"]),
        "num_heads": rng.choice([4, 8]),
        "head_size": rng.choice([32, 64]),
        "intermediate_size": rng.choice([512, 768, 1024]),
        "activation": rng.choice(["swiglu", "gelu"]),
        "position_encoding": "rope",
        "norm": "rmsnorm",
        "norm_placement": "pre",
        "topology": rng.choice(["sequential", "parallel"]),
        "layer_sharing": 1,
    }


@contextlib.contextmanager
def _serving(answer: Callable[[Any, Mapping[str, str]], Answer], extra: Mapping[str, str]) -> Iterator[Stub]:
    released = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stub.requests.append(request)
            stub.headers.append(dict(self.headers))
            status, body = answer(request, self.headers)
            if not status:
                released.wait(30)
                return
            raw = body if isinstance(body, bytes) else _completion(body)
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(raw)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have been killed
                self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = Stub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "stub-1",
            "object": "chat.completion",
            "created": 0,
            "model": "stub",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
    ).encode()
