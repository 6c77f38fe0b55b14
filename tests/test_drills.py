"""The fault drills in a short form; `make drill` runs them long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRILLS = Path(__file__).parents[1] / "drills" / "run.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search", "training", "shrink", "workers", "nodes"])
def test_killed_work_ends_as_if_it_had_never_been(name, tmp_path):
    command = [sys.executable, str(DRILLS), name, "--kills", "3", "--json", str(tmp_path / "told.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads((tmp_path / "told.json").read_text())
    assert (told["name"], told["kills"], told["same"]) == (name, 3, True)
    assert done.stdout.startswith(f"{name}: 3 kills, nothing lost")
