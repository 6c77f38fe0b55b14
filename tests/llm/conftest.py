"""Loopback only, no keys, a private cache; servers for those who ask."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mimar.llm import KEY_VARIABLES, start_server

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test of this folder can reach a provider: no keys, and no connection but to this machine."""
    for variables in KEY_VARIABLES.values():
        for variable in variables:
            monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check(address[0])
        connect(self, address)

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        _check(host)
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


def _check(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in LOOPBACK:
        raise AssertionError(f"a test tried to reach {name!r}: only loopback is allowed")


@pytest.fixture(scope="session")
def llama_url(default_model: Path) -> Iterator[str]:
    """The OpenAI-compatible address of a llama.cpp server; it ends with its last reference."""
    server = start_server(default_model, context=1024, threads=1)
    yield f"{server.listening_address}/v1"
    del server


@dataclass
class FakeServer:
    """A provider on loopback that gives the same answer to everything and remembers what it was asked."""

    url: str
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts servers: ``serve(status, body, headers=…, hang=seconds)``."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Event, threading.Thread]] = []

    def start(status: int, body: bytes, *, headers: dict[str, str] | None = None, hang: bool = False) -> FakeServer:
        released = threading.Event()
        fake = FakeServer("")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                fake.requests.append((self.path, dict(self.headers), json.loads(raw)))
                if hang:
                    released.wait(30)
                    return
                self.send_response(status)
                for name, value in {"content-type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep the test's output clean."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, released, thread))
        fake.url = f"http://127.0.0.1:{server.server_port}"
        return fake

    yield start
    for server, released, thread in running:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()
