"""The fault drills in a short form; `make drill` runs them long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRILLS = Path(__file__).parents[1] / "drills" / "run.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills"), [("search", 3), ("training", 3), ("shrink", 6), ("workers", 3), ("nodes", 3)]
)
def test_killed_work_ends_as_if_it_had_never_been(name, kills, tmp_path):
    command = [sys.executable, str(DRILLS), name, "--kills", str(kills), "--json", str(tmp_path / "told.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads((tmp_path / "told.json").read_text())
    assert (told["name"], told["same"]) == (name, True)
    assert list(told["kills"]) == (["fine-tune", "search", "recovery", "export"] if name == "shrink" else ["work"])
    assert sum(told["kills"].values()) >= kills
    assert all(told["kills"].values())
    assert done.stdout.startswith(f"{name}: {sum(told['kills'].values())} kills")
    assert "nothing lost" in done.stdout
