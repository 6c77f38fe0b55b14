"""What people see and type: the live display, and numbers with units."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mimar.cli._quantities import count, seconds, size, tokens
from mimar.errors import InputError

pty = pytest.importorskip("pty", reason="terminals exist on Unix only")


def test_a_terminal_shows_the_search_as_it_goes() -> None:
    ours, theirs = pty.openpty()
    command = "design --device laptop-cpu --ctx 256 --trials 24 --json"
    with subprocess.Popen(
        [sys.executable, "-m", "mimar", *command.split()],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux's way to say that the other side is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    for part in ("24/24 evaluated", "front", "hypervolume", "invalid", "LLM 0 calls, $0.0000", "left"):
        assert part in plain


@pytest.mark.parametrize("option", ["--device", "--strategy", "--only", "--start", "--study"])
def test_no_control_character_comes_back_from_what_was_typed(design, option: str) -> None:
    outcome = design(option, "\x1b[31mr\x9bed\x07/x")
    outcome.refused(3 if option == "--study" else 2, "[31mr", "ed")
    assert {"\x1b", "\x9b", "\x07"}.isdisjoint(outcome.err + outcome.out)


def test_no_control_character_comes_back_from_a_name_on_disk(mimar, finished: Path, tmp_path: Path) -> None:
    study = shutil.copy(finished, tmp_path / "\x1b[2J[red]\x9b.db")
    shown = mimar("show", study)
    assert "[2J[red]" in shown.out
    (tmp_path / "\x1b[31mfolder").mkdir()
    refused = mimar("report", study, "--out", tmp_path / "\x1b[31mfolder")
    refused.refused(6, "\N{REPLACEMENT CHARACTER}[31mfolder")
    assert {"\x1b", "\x9b"}.isdisjoint(shown.out + shown.err + refused.err)


def test_json_is_ascii_and_says_the_same(design) -> None:
    outcome = design("--study", "şehir \x9b.db")
    assert outcome.out.isascii()
    assert outcome.json["study"] == "şehir \x9b.db"


def test_a_reader_that_leaves_early_is_no_error(finished) -> None:
    done = subprocess.run(
        f"{sys.executable} -m mimar show {finished} | head -n 1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (count, "30M", 30e6), (count, "1.5b", 1.5e9), (count, "12", 12), (count, "2e6", 2e6), (count, " 7 K ", 7000),
        (size, "80MB", 80e6), (size, "2GiB", 2 * 2**30), (size, ".5gb", 5e8), (size, "1024", 1024),
        (seconds, "250ms", 0.25), (seconds, "0.5", 0.5), (seconds, "2s", 2), (seconds, "80us", 80e-6),
        (tokens, "200k", 200_000), (tokens, " 0 ", 0),
    ],
)  # fmt: skip
def test_quantities(reader: Callable[[str, str], float], text: str, value: float) -> None:
    assert reader(text, "--option") == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "M", "1,000", "3 0M", "1..5", "nan", "inf", "0", "-1", "1e", "٣", "30MM", "1e308M"]
)
@pytest.mark.parametrize("reader", [count, size, seconds])
def test_text_that_is_no_quantity(reader: Callable[[str, str], float], text: str) -> None:
    with pytest.raises(InputError, match="--option must be"):
        reader(text, "--option")
