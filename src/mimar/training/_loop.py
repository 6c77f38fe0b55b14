"""The one training loop: batches in, a trained model and its losses out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.errors import CandidateError, InputError, memory_explained
from mimar.training._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mimar.training._data import Batch, TokenData
from mimar.training._distillation import Distillation
from mimar.training._recipe import Recipe
from mimar.training._team import team


@dataclass(frozen=True, slots=True)
class Habits:
    """What a training does besides learning; it learns the same with others, but for rounding where it is compiled.

    validate_at: steps after which to validate, besides the last. validation_tokens: judged on. log_every: steps.
    save_every: seconds between checkpoints, where there is a folder. save_last: a checkpoint after the last step of
    all. compile: by torch.compile, which takes a minute to begin with.
    """

    validate_at: Container[int] = ()
    validation_tokens: int = 131_072
    log_every: int = 10
    save_every: float = 60.0
    save_last: bool = True
    compile: bool = False


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training.

    validation_loss: nats a token. bits_per_byte: of the validation text. tokens: trained on. seconds: of all runs,
    without those of validations. rows: the log; each has ``step``, ``tokens``, ``seconds``, ``rate``, ``train_loss``,
    and ``validation_loss`` where that was measured.
    """

    validation_loss: float
    bits_per_byte: float
    tokens: int
    seconds: float
    tokens_per_second: float
    rows: tuple[Mapping[str, float], ...]


def train(
    model: nn.Module,
    data: TokenData,
    recipe: Recipe,
    *,
    teacher: Distillation | None = None,
    folder: Path | None = None,
    until: int | None = None,
    habits: Habits = Habits(),
    on_row: Callable[[Mapping[str, float]], None] = lambda _: None,
    before_pass: Callable[[int, int], None] = lambda _step, _part: None,
    identity: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train `model` in place, on the device of its weights: token ids (batch, tokens) → logits (batch, tokens, vocab).

    teacher: what is learnt from beside the text; validation is of the text alone. folder: where its checkpoint is kept.
    A training whose checkpoint lies there goes on from it, bit by bit as if it had never stopped, if recipe and
    `identity` are the same; else InputError. until: the step after which to pause, the last one by default; what the
    result says is of that step, and a checkpoint beyond it is an InputError. on_row: told each row of the log.
    before_pass: told step and pass before each pass, for models that are another one in each.
    CandidateError: the loss is no longer finite, or memory does not suffice.
    """
    run = _Run(model, data, recipe, habits, before_pass)
    run.teacher = teacher
    run.last = min(recipe.steps, until or recipe.steps)
    known = {"recipe": recipe.to_json(), **(identity or {})}
    run.go_on_from(load_checkpoint(folder) if folder else None, known)
    with memory_explained("the training; try a smaller micro_batch"), _deterministic_dropout(_device(model)):
        for row in run.rows_to_come():
            on_row(row)
            if folder and team().is_first and run.is_due():
                save_checkpoint(run.checkpoint(known), folder)
    return run.result()


@torch.no_grad()
def validation_loss(model: nn.Module, batches: Sequence[Batch], precision: str = "float32") -> float:
    """Mean loss in nats a token; the model is left in the mode that it was in."""
    device, was_training = _device(model), model.training
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        with _precision(device, precision):
            ids = _to(batch, device)
            total += float(_text_loss(model(ids[:, :-1]).float(), ids, "sum"))
        count += batch.shape[0] * (batch.shape[1] - 1)
    model.train(was_training)
    return total / count


class _Run:
    """A training at some step, on its way to the step `last`."""

    def __init__(
        self,
        model: nn.Module,
        data: TokenData,
        recipe: Recipe,
        habits: Habits,
        before_pass: Callable[[int, int], None],
    ) -> None:
        self._model, self._data, self._recipe, self._habits = model, data, recipe, habits
        self._before_pass = before_pass
        self.last = recipe.steps
        self.teacher: Distillation | None = None
        self._device = _device(model)
        self._optimizer = _optimizer(model, recipe)
        self._team = team()
        self._rows_of_step = self._team.own(recipe.sequences)
        self._forward = self._team.wrap(cast("nn.Module", torch.compile(model)) if habits.compile else model)
        self._judged = data.validation_batches(habits.validation_tokens, recipe.sequences, recipe.context_length)
        self._rows: list[Mapping[str, float]] = []
        self._began = self._saved = time.perf_counter()
        self._before = self._judging = 0.0
        self.step = 0

    def go_on_from(self, checkpoint: Checkpoint | None, known: Mapping[str, Any]) -> None:
        """Take over the state of `checkpoint`; InputError where it is of another training."""
        if checkpoint is None:
            return
        if dict(checkpoint.identity) != known:
            keys = {*known, *checkpoint.identity}
            changed = sorted(key for key in keys if known.get(key) != checkpoint.identity.get(key))
            raise InputError(
                f"the checkpoint is of another training ({', '.join(changed)} differ): go on with the same settings, "
                "or choose a new folder"
            )
        if checkpoint.step > self.last:
            raise InputError(f"the checkpoint is of step {checkpoint.step}, beyond step {self.last} where to stop")
        self._model.load_state_dict(checkpoint.model)
        self._optimizer.load_state_dict(dict(checkpoint.optimizer))
        self.step, self._rows, self._before = checkpoint.step, list(checkpoint.rows), checkpoint.seconds

    def checkpoint(self, known: Mapping[str, Any]) -> Checkpoint:
        """The state now."""
        self._saved = time.perf_counter()
        rows = tuple(dict(row) for row in self._rows)
        return Checkpoint(known, self.step, self._model.state_dict(), self._optimizer.state_dict(), rows, self.seconds)

    def is_over(self) -> bool:
        """Whether the last step that was wanted is done."""
        return self.step >= self.last

    def is_due(self) -> bool:
        """Whether a checkpoint is wanted now: at a stop, or where the last one is old enough."""
        if self.is_over():
            return self._habits.save_last or self.step < self._recipe.steps
        return time.perf_counter() - self._saved >= self._habits.save_every

    @property
    def seconds(self) -> float:
        """In all runs, validations left out."""
        return self._before + time.perf_counter() - self._began - self._judging

    def rows_to_come(self) -> Iterator[Mapping[str, float]]:
        """Train to the end; a row of the log now and then, and at the end."""
        losses = list[Tensor]()
        self._model.train()
        while not self.is_over():
            losses.append(self._step())
            self.step += 1
            judged = self.is_over() or self.step in self._habits.validate_at
            if judged or self.step % self._habits.log_every == 0:
                yield self._row(losses, judged)
                losses = []

    def result(self) -> TrainingResult:
        """After the last step, which an earlier run may have left without a validation."""
        loss = self._rows[-1].get("validation_loss")
        loss = self._validated() if loss is None else loss
        tokens = self.step * self._recipe.sequences * self._recipe.context_length
        bits = loss / math.log(2.0) / self._data.bytes_per_token
        return TrainingResult(loss, bits, tokens, self.seconds, tokens / self.seconds, tuple(self._rows))

    def _step(self) -> Tensor:
        """One step of the optimizer; the mean loss before it."""
        recipe = self._recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)  # of dropout; the global state is put back in the end
        batch = self._data.batch(self.step, recipe.sequences, recipe.context_length, recipe.seed)[self._rows_of_step]
        passes = [part for part in recipe.passes if part.start < len(batch)]
        total = torch.zeros((), device=self._device)
        for number, part in enumerate(passes):
            self._before_pass(self.step, number)
            # Gradients are means over processes, each of which has its share of the step's sequences.
            share = len(batch[part]) * self._team.size / recipe.sequences
            with self._team.quiet(self._forward, last=number == len(passes) - 1):
                loss = self._pass(_to(batch[part], self._device))
                (loss * share).backward()
            total += loss.detach() * share
        total = self._team.mean(total)
        nn.utils.clip_grad_norm_(self._model.parameters(), recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.rate(self.step)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return total

    def _pass(self, ids: Tensor) -> Tensor:
        """What is made smaller, for ids (batch, tokens + 1)."""
        with _precision(self._device, self._recipe.precision):
            logits = self._forward(ids[:, :-1]).float()
            text_loss = partial(_text_loss, logits, ids, "mean")
            return text_loss() if self.teacher is None else self.teacher.loss(logits, ids[:, :-1], text_loss)

    def _row(self, losses: Sequence[Tensor], judged: bool) -> Mapping[str, float]:
        """Of the log; CandidateError where a loss is not a number."""
        loss = float(torch.stack(list(losses)).mean())
        self._require_finite(loss)
        row = {
            "step": self.step,
            "tokens": self.step * self._recipe.sequences * self._recipe.context_length,
            "seconds": self.seconds,
            "rate": self._recipe.rate(self.step - 1),
            "train_loss": loss,
        }
        if judged:
            row["validation_loss"] = self._validated()
        self._rows.append(row)
        return row

    def _validated(self) -> float:
        """Its time does not count."""
        start = time.perf_counter()
        loss = validation_loss(self._model, self._judged, self._recipe.precision)
        self._require_finite(loss)
        self._judging += time.perf_counter() - start
        return loss

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise CandidateError(
                f"the loss is {loss} after {self.step} steps: training diverged; lower the learning rate or warm up "
                "longer"
            )


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Matrices decay, vectors (of norms) do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [each for each in parameters if each.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [each for each in parameters if each.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=recipe.rate(0), betas=recipe.betas, fused=True)


def _text_loss(logits: Tensor, ids: Tensor, reduction: str) -> Tensor:
    """Cross-entropy in nats of each token given those before it. ids: (batch, tokens + 1)."""
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _to(batch: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    return torch.from_numpy(batch).to(device, non_blocking=True)


def _precision(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _deterministic_dropout(device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generators: each step seeds them; whoever else uses them notices nothing."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
