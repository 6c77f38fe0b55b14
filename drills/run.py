"""Fault drills: work is killed at random instants, resumed, and has to end as if it had never been disturbed.

    search, training, shrink    the whole command is killed and resumed
    workers                     processes that evaluate for a search are killed while it runs
    nodes                       nodes of the Ray cluster that evaluates for a search are killed; others come

    python drills/run.py [NAME…] [--kills 100] [--seed 0] [--json FILE]

Each kill is a SIGKILL that comes a random time after something new was stored (a trial, a step), or after a while in
which nothing was; one before anything was stored does not count. Work of several phases is killed as often in each.
Work that is over before enough kills is begun anew in another folder. A drill fails where an end differs in anything
but times, or where a phase was hit too seldom.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import ray_nodes
from work import KILLED, Drill, design_command, events, stamps, stored_trials, trials

STRIDE = 0.5
"""Most seconds between something new and the kill."""

PATIENCE = 20.0
"""Most seconds of a run before the kill comes, whatever was stored by then."""


@dataclass(frozen=True)
class Told:
    """What became of a drill: kills by phase of the work, whether these were all that were wanted, seconds of all
    disturbed runs together, and of the one that was not.
    """

    name: str
    kills: dict[str, int]
    complete: bool
    same: bool
    seconds: float
    undisturbed_seconds: float


class Tally:
    """Kills by phase of the work: `wanted`, which are spread evenly, and those that fell by now."""

    def __init__(self, kills: int, phases: Sequence[str] = ("work",)) -> None:
        each, more = divmod(kills, len(phases))
        self.wanted = {phase: each + (number < more) for number, phase in enumerate(phases)}
        self.fell = dict.fromkeys(phases, 0)

    @property
    def missing(self) -> list[str]:
        """Phases that were not hit often enough."""
        return [phase for phase, most in self.wanted.items() if self.fell[phase] < most]


def killed_whole(name: str, kills: int, rng: random.Random) -> Told:
    """The command is killed and resumed."""
    drill = KILLED[name]
    tally = Tally(kills, drill.phases)

    def hurt(folder: Path) -> None:
        disturbed(drill, folder, drill.prepare(folder, kills), tally, rng)

    return against_calm(name, tally, lambda folder: finish(drill.prepare(folder, kills)), hurt, drill.result)


def against_calm(
    name: str, tally: Tally, calm: Callable[[Path], None], hurt: Callable[[Path], None], result: Callable[[Path], Any]
) -> Told:
    """The work once without kills, then with them until there were enough, and whether all of it ended alike.

    calm: does the work in a folder. hurt: the same under kills, which it counts in `tally`.
    """
    with tempfile.TemporaryDirectory(prefix="drill-") as scratch:
        folder = Path(scratch, "calm")
        folder.mkdir()
        begin = time.perf_counter()
        calm(folder)
        middle, expected, same = time.perf_counter(), result(folder), True
        for turn in range(
            4 * sum(tally.wanted.values())
        ):  # most often one is enough; a fast machine ends the work early
            folder = Path(scratch, f"hurt-{turn}")
            folder.mkdir()
            hurt(folder)
            same = same and result(folder) == expected
            if not tally.missing:
                break
        return Told(name, tally.fell, not tally.missing, same, time.perf_counter() - middle, middle - begin)


def disturbed(drill: Drill, folder: Path, command: Sequence[str], tally: Tally, rng: random.Random) -> None:
    """Do the work to its end under the kills that are missing."""
    nothing = drill.progress(folder)
    while aim := [phase for phase in ahead(drill, folder) if phase in tally.missing]:
        if not killed(drill, command, folder, aim[0], rng):
            return
        if drill.progress(folder) != nothing:
            tally.fell[drill.phase(folder)] += 1
    finish([*command, *resuming(folder)])


def ahead(drill: Drill, folder: Path) -> tuple[str, ...]:
    """The phase in which the work is, and those that are to come."""
    return drill.phases[drill.phases.index(drill.phase(folder)) :]


def killed(drill: Drill, command: Sequence[str], folder: Path, aim: str, rng: random.Random) -> bool:
    """Start or resume the work and kill it in the phase `aim`, or where it is when `PATIENCE` ends; False where it was
    over before.
    """
    process = started([*command, *resuming(folder)])
    try:
        after_progress(process, lambda: drill.progress(folder), rng, lambda: ahead(drill, folder)[0] == aim)
    finally:  # of Ctrl-C as well
        process.kill()
    ended(process, -signal.SIGKILL)
    return process.returncode != 0


def in_parts(name: str, kills: int, rng: random.Random) -> Told:
    """The evaluating processes or nodes of a search are killed one by one, the oldest each time."""
    tally = Tally(kills)
    with tempfile.TemporaryDirectory(prefix="site-") as site, helpers_of(name, Path(site)) as helpers:

        def hurt(folder: Path) -> None:
            struck([*waiting_command(folder), *helpers.options], folder, helpers, tally, rng)

        return against_calm(name, tally, lambda folder: finish(waiting_command(folder)), hurt, trials)


def waiting_command(folder: Path) -> list[str]:
    """A search whose candidates take a twentieth of a second each."""
    return [*design_command(folder, 300), "--score", "waited"]


def struck(command: Sequence[str], folder: Path, helpers: Workers | Nodes, tally: Tally, rng: random.Random) -> None:
    """Search to the end under the kills that are missing."""
    process = started(command)
    try:
        while tally.missing and after_progress(process, lambda: stored_trials(folder), rng):
            tally.fell["work"] += helpers.kill_oldest(process.pid) and process.poll() is None
        ended(process)
    finally:
        process.kill()


class Workers:
    """Two processes of this machine."""

    options = ("--executor", "process", "--workers", "2")

    def kill_oldest(self, driver: int) -> bool:
        """Whether there was one."""
        for child in sorted(psutil.Process(driver).children(), key=psutil.Process.create_time):
            with suppress(psutil.Error):  # it has just ended by itself
                words = child.cmdline()
                if words and "resource_tracker" not in words[-1]:
                    child.kill()
                    return True
        return False


class Nodes:
    """Two nodes of one core each, beside a head that evaluates nothing; a new one comes for each that is lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.options = ("--executor", f"ray:{self.cluster.address}")
        self.nodes: list[Any] = []

    def start(self) -> None:
        """Both."""
        self.nodes += [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.cluster.wait_for_nodes()

    def kill_oldest(self, driver: int) -> bool:
        """True: there is always one."""
        self.nodes.append(self.cluster.add_node(num_cpus=1))
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        return True


@contextmanager
def helpers_of(name: str, site: Path) -> Iterator[Workers | Nodes]:
    """Those of the drill `name`, which find the score that waits at `site`; they end with the drill."""
    with ray_nodes.installed(site, 0.05):
        if name == "workers":
            yield Workers()
            return
        nodes = Nodes()
        try:
            nodes.start()
            yield nodes
        finally:
            nodes.cluster.shutdown()


DRILLS: dict[str, Callable[[str, int, random.Random], Told]] = {
    **dict.fromkeys(KILLED, killed_whole),
    **dict.fromkeys(("workers", "nodes"), in_parts),
}


def after_progress(
    process: subprocess.Popen[str],
    progress: Callable[[], object],
    rng: random.Random,
    is_there: Callable[[], bool] = lambda: True,
) -> bool:
    """Wait until something new is stored and the work is where it shall be, and a random time longer; False where it
    was over before.
    """
    before, patience = progress(), time.monotonic() + rng.uniform(0.5, 1) * PATIENCE
    while process.poll() is None and time.monotonic() < patience and (progress() == before or not is_there()):
        time.sleep(0.01)
    time.sleep(rng.uniform(0, STRIDE))
    return process.poll() is None


def resuming(folder: Path) -> list[str]:
    """Once something is stored; a study of which nothing is stored is begun again."""
    has_begun = bool(events(folder)) or bool(stamps(folder, "out/checkpoint.pt"))
    return ["--resume"] if has_begun else []


def finish(command: Sequence[str]) -> None:
    """Run to the end."""
    ended(started(command))


def ended(process: subprocess.Popen[str], *codes: int) -> None:
    """Wait for it; RuntimeError where it ends with anything but 0 or one of `codes`."""
    _, said = process.communicate()
    if process.returncode not in (0, *codes):
        raise RuntimeError(f"the work ended with {process.returncode}: {said}")


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    """`mimar` as a process of its own."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "mimar", *command], text=True, **pipes)


def main() -> int:
    """Run the drills that were asked for; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DRILLS)}; all by default")
    parser.add_argument("--kills", type=int, default=100, help="of each, at least 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the results here as well")
    asked = parser.parse_args()
    if asked.kills < 1 or not set(asked.names) <= set(DRILLS):
        parser.error(f"expected names of {', '.join(DRILLS)} and at least one kill")
    told = list[Told]()
    for name in asked.names or DRILLS:
        told.append(DRILLS[name](name, asked.kills, random.Random(f"{name} {asked.seed}")))
        last = told[-1]
        verdict = "nothing lost" if last.same else "THE END DIFFERS"
        print(
            f"{name}: {sum(last.kills.values())} kills{where(last.kills)}, {verdict}, {last.seconds:.0f} s", flush=True
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in told], indent=2) + "\n")
    return int(not all(each.same and each.complete for each in told))


def where(kills: dict[str, int]) -> str:
    """Phase by phase, where there are several."""
    told = ", ".join(f"{count} in {phase}" for phase, count in kills.items())
    return f" ({told})" if len(kills) > 1 else ""


if __name__ == "__main__":
    sys.exit(main())
