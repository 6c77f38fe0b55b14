"""`decoder_tiny`: train its architectures in the same way and note what came of each, row by row.

Rows are appended as trainings end, so that a run that was stopped goes on with what is missing; the finished table is
in order. What a table rests on (recipe, text, tokenizer) lies beside it and must not change while it grows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mimar.bench._decoder_tiny import tiny_architectures
from mimar.bench._measured_columns import MEASURED, SCORES, measured_columns
from mimar.errors import CandidateError, InputError, memory_explained
from mimar.shapes import nonembedding_parameters, parameters
from mimar.space import Architecture, architecture_from_json, architecture_to_json
from mimar.training import Recipe, TokenData

_log = logging.getLogger(__name__)

FIDELITIES = (0.1, 0.25, 0.5)
"""Shares of the training after which the loss is noted as well, on the way of one schedule."""

JUDGED_ON = 65_536
"""Tokens of the validation text, spread over all of it."""

COLUMNS = (
    "id", "seed", "validation_loss", "bits_per_byte", *(f"loss_at_{share:.0%}" for share in FIDELITIES), "train_loss",
    "params", "nonembedding_params", "tokens", "seconds", "failure", *MEASURED, *SCORES, "architecture",
)  # fmt: skip
"""Losses in nats a token; `seconds` of training alone, on whatever machine; `failure` where there is no loss."""

Row = Mapping[str, Any]
Job = tuple[int, int]
"""Id of the architecture, seed."""


@dataclass(frozen=True, slots=True)
class TruthPlan:
    """What the table shall hold.

    architectures: the first so many of the benchmark. seeds: of the first `repeated` of them; the others have seed 0.
    """

    architectures: int = 200
    seeds: int = 3
    repeated: int = 24

    @property
    def jobs(self) -> list[Job]:
        """All trainings, those of the first seed first."""
        return [
            (number, seed)
            for seed in range(self.seeds)
            for number in range(self.architectures if seed == 0 else min(self.repeated, self.architectures))
        ]


def make_truth(
    path: Path,
    data: TokenData,
    recipe: Recipe,
    plan: TruthPlan,
    *,
    processes: int = 1,
    device: str = "cpu",
    measure: bool = True,
    on_row: Callable[[Row, int, int], None] = lambda _row, _done, _all: None,
) -> list[Row]:
    """Make or extend the table at `path`, a CSV; returns its rows in order of id and seed.

    measure: in the end, fill in speed and memory on this machine and every score, where they are missing. processes:
    trainings at a time, each on one core where `device` is ``cpu``. on_row: told each new row, how many there are, and
    how many there shall be. A training that fails is a row with its reason; one whose process is killed has none, and
    the next run trains it. InputError: the text is too short, or the table there was made in another way.
    """
    data.require_enough(recipe.context_length)
    _check_same(path, _facts(data, recipe))
    done: dict[Job, Row] = {(int(row["id"]), int(row["seed"])): row for row in _rows(path)}
    _write(path, list(done.values()))
    known = {job[0]: architecture_from_json(json.loads(row["architecture"]), check=False) for job, row in done.items()}
    archs = tiny_architectures(plan.architectures, data.vocab_size, recipe.context_length, known)
    missing = {job: archs[job[0]] for job in plan.jobs if job not in done}
    with _trainings(missing, data, recipe, (processes, device)) as ended:
        for row in ended:
            _append(path, row)
            done[row["id"], row["seed"]] = row
            on_row(row, len(done), len({*plan.jobs, *done}))
    if measure:
        for number in sorted({number for number, _ in done}):
            _fill_in(number, done, data, recipe)
            _write(path, [done[job] for job in sorted(done)])
    rows = [done[job] for job in sorted(done)]
    _write(path, rows)
    return rows


def train_more(
    path: Path,
    archs: Sequence[Architecture],
    data: TokenData,
    recipe: Recipe,
    *,
    processes: int = 1,
    on_row: Callable[[Row, int, int], None] = lambda _row, _done, _all: None,
) -> dict[Architecture, float]:
    """The loss of each of `archs`, trained with seed 0 like a table's and kept in the table of their own at `path`.

    Those that are there are not trained again. The loss is infinite where a training failed; there is none where its
    process was killed. Otherwise as `make_truth`.
    """
    data.require_enough(recipe.context_length)
    _check_same(path, _facts(data, recipe))
    rows = _rows(path)
    _write(path, rows)
    known = {architecture_from_json(json.loads(row["architecture"]), check=False): row for row in rows}
    missing = [arch for arch in dict.fromkeys(archs) if arch not in known]
    first = 1 + max((int(row["id"]) for row in rows), default=-1)
    jobs = {(first + place, 0): arch for place, arch in enumerate(missing)}
    with _trainings(jobs, data, recipe, (processes, "cpu")) as ended:
        for row in ended:
            _append(path, row)
            known[jobs[row["id"], row["seed"]]] = row
            on_row(row, len(known), len(rows) + len(missing))
    ended = {arch: known[arch]["validation_loss"] for arch in archs if arch in known}
    return {arch: float(loss or "inf") for arch, loss in ended.items()}


def table_recipe(path: Path, data: TokenData) -> Recipe:
    """How the table at `path` was trained; InputError where `data` is not its text in its tokens."""
    beside = path.with_suffix(".json")
    if not path.is_file() or not beside.is_file():
        raise InputError(f"{path}: expected a table with {beside.name} beside it that says how it was made")
    try:
        written = _read_facts(beside)["recipe"]
        recipe = Recipe(**{**written, "betas": tuple(written["betas"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"{beside} does not say how a table was made: {error!r}") from error
    _check_same(path, _facts(data, recipe))
    return recipe


def _fill_in(number: int, rows: dict[Job, Row], data: TokenData, recipe: Recipe) -> None:
    """What is measured of an architecture, into each row of it, where it is missing."""
    same = [job for job in rows if job[0] == number]
    if all(rows[job].get("prefill_ms") and rows[job].get("training_step_ms") for job in same):
        return
    arch = architecture_from_json(json.loads(rows[same[0]]["architecture"]), check=False)
    found = measured_columns(arch, data, recipe)
    for job in same:
        rows[job] = {**rows[job], **found}


def _train_one(arch: Architecture, job: Job, data: TokenData, recipe: Recipe, device: str) -> Row:
    """One row of the table."""
    import torch

    from mimar.models import build
    from mimar.training import Habits, train

    if device == "cpu":
        torch.set_num_threads(1)
    recipe = replace(recipe, seed=job[1])
    steps = {share: max(1, round(share * recipe.steps)) for share in FIDELITIES}
    row = _described(arch, job)
    habits = Habits(validate_at=frozenset(steps.values()), validation_tokens=JUDGED_ON)
    try:
        with memory_explained("its training"):
            model = build(arch, generator=torch.Generator().manual_seed(recipe.seed), device=device)
            result = train(model, data, recipe, habits=habits)
    except CandidateError as error:
        return row | {"failure": str(error)}
    losses = {entry["step"]: entry["validation_loss"] for entry in result.rows if "validation_loss" in entry}
    curve = {f"loss_at_{share:.0%}": round(losses[step], 5) for share, step in steps.items()}
    return (
        row
        | curve
        | {
            "validation_loss": round(result.validation_loss, 5),
            "bits_per_byte": round(result.bits_per_byte, 5),
            "train_loss": round(result.rows[-1]["train_loss"], 5),
            "tokens": result.tokens,
            "seconds": round(result.seconds, 1),
        }
    )


def _described(arch: Architecture, job: Job) -> dict[str, Any]:
    """The row before anything came of it."""
    return {
        **dict.fromkeys(COLUMNS, ""),
        "id": job[0],
        "seed": job[1],
        "params": parameters(arch),
        "nonembedding_params": nonembedding_parameters(arch),
        "architecture": json.dumps(architecture_to_json(arch)),
    }


def _in_a_process_of_its_own(arch: Architecture, job: Job, given: tuple[TokenData, Recipe, str]) -> Row | None:
    """So that what the allocator keeps of models of all sizes does not add up; None where the process was killed."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_train_one, arch, job, *given).result()
        except BrokenProcessPool:
            _log.warning(
                "architecture %d, seed %d: its process was killed, as where memory runs out; run again to train it",
                *job,
            )
            return None


@contextmanager
def _trainings(
    jobs: Mapping[Job, Architecture], data: TokenData, recipe: Recipe, where: tuple[int, str]
) -> Iterator[Iterator[Row]]:
    """Rows as trainings end. Whatever ends the block, those that have not begun never do."""
    processes, device = where
    pool = ThreadPoolExecutor(processes)
    given = (data, recipe, device)
    try:
        futures = [pool.submit(_in_a_process_of_its_own, arch, job, given) for job, arch in jobs.items()]
        yield (row for future in as_completed(futures) if (row := future.result()) is not None)
    finally:
        pool.shutdown(cancel_futures=True)


def _facts(data: TokenData, recipe: Recipe) -> dict[str, Any]:
    """What must not change while a table grows."""
    return {
        "recipe": {name: value for name, value in recipe.to_json().items() if name != "seed"},
        "vocab_size": data.vocab_size,
        "bytes_per_token": data.bytes_per_token,
        "train_sha256": hashlib.sha256(data.train.tobytes()).hexdigest(),
        "validation_sha256": hashlib.sha256(data.validation.tobytes()).hexdigest(),
    }


def _check_same(path: Path, facts: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".json")
    if beside == path:
        raise InputError(f"{path}: {beside.name} is where a table's recipe goes; name the table FILE.csv")
    if not path.exists() and not beside.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _tell(facts, beside)
        return
    if not beside.is_file():
        raise InputError(f"{path} has no {beside.name} beside it that says how it was made; choose another file")
    known = _read_facts(beside)
    changed = sorted(name for name in {*known, *facts} if known.get(name) != facts.get(name))
    if changed and known.keys() == facts.keys() and not _has_rows(path):  # stopped before there was any
        _tell(facts, beside)
    elif changed:
        raise InputError(f"{path} was made with another {', '.join(changed)}: use the same again, or choose a new file")


def _tell(facts: Mapping[str, Any], beside: Path) -> None:
    aside = beside.with_name(f".{beside.name}")
    aside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    aside.replace(beside)


def _has_rows(path: Path) -> bool:
    """Or anything else but the names of columns."""
    return path.exists() and path.read_text(encoding="utf-8").strip() not in ("", ",".join(COLUMNS))


def _read_facts(beside: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{beside} does not say how a table was made: {error}; choose another file") from error
    if not isinstance(found, Mapping):
        raise InputError(f"{beside} does not say how a table was made; choose another file")
    return found


def _rows(path: Path) -> list[Row]:
    """Whole rows; the last one of a run that was killed while it wrote may be half."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if foreign := {*(reader.fieldnames or ())} - {*COLUMNS}:
            raise InputError(f"{path} has columns that a table made here has not: {', '.join(sorted(foreign))}")
        return [row for row in reader if _is_whole(row)]


def _is_whole(row: Row) -> bool:
    try:
        return bool(json.loads(row["architecture"]))  # the last column
    except (KeyError, TypeError, ValueError):
        return False


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, COLUMNS).writerow(row)
        file.flush()
        os.fsync(file.fileno())


def _write(path: Path, rows: Sequence[Row]) -> None:
    """Head and rows, put in place in one step."""
    aside = path.with_name(f".{path.name}")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    aside.replace(path)
