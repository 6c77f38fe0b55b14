"""`mimar design` on two Ray nodes of one core each against the same search in one process: seconds, and the trials."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAITING = '''
import time

from mimar.proxies import Score


def _waited(inputs):
    """As long as it takes to ask a device for its figure."""
    time.sleep(SECONDS)
    return float(inputs.shapes.nonembedding_params)


waited = Score("waited", frozenset({"shapes"}), "forward", "benchmarks/ray_nodes.py", _waited)
'''

ASKED = ("--device", "laptop-cpu", "--strategy", "nsga2", "--max-params", "20M", "--score", "waited", "--trials", "160")


@dataclass(frozen=True)
class Compared:
    """How many times faster two nodes are, and whether the trials are the same."""

    ratio: float
    same: bool


@contextmanager
def two_nodes() -> Generator[str]:
    """Their cluster's address."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def compared() -> Compared:
    """Both searches, from the start of the command to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with installed(folder / "site", 1.0):
            alone = seconds_of(folder, [*ASKED, "--study", "alone.db"])
            with two_nodes() as address:
                shared = seconds_of(folder, [*ASKED, "--study", "nodes.db", "--executor", f"ray:{address}"])
        return Compared(alone / shared, trials(folder / "nodes.db") == trials(folder / "alone.db"))


@contextmanager
def installed(site: Path, seconds: float) -> Generator[None]:
    """The score that waits so long, as a package at `site` that processes started from here find by its entry point."""
    info = site / "waiting-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "waiting.py").write_text(WAITING.replace("SECONDS", str(seconds)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mimar.scores]\nwaited = waiting:waited\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *([before] if before else [])])
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def seconds_of(folder: Path, command: Sequence[str]) -> float:
    """Of a search in `folder`."""
    begin = time.perf_counter()
    whole = [sys.executable, "-m", "mimar", "design", *command]
    subprocess.run(whole, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def trials(study: Path) -> list[dict[str, Any]]:
    """In proposal order, without how long they took."""
    with closing(sqlite3.connect(study)) as db:
        found = [json.loads(body) for (body,) in db.execute("SELECT body FROM events WHERE kind = 'trial'")]
    return [{**trial, "seconds": 0.0} for trial in sorted(found, key=lambda trial: trial["id"])]
