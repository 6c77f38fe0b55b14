"""The loss after a short training as a metric: what it is, what may stop it, and that a pause changes nothing."""

import errno
import math
import pickle
import tempfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mimar.design import design_task, objective_for
from mimar.errors import CandidateError, InputError
from mimar.hardware import Workload, device_here, load_profile
from mimar.models import build
from mimar.objectives import DesignEvaluator, TrainedLoss, loss_metric
from mimar.space import Architecture, Block, Defaults, FeedForward, Mixer, TransformerSpace
from mimar.training import ByteTokenizer, Recipe, TokenData, train

TEXT = "the cat sat on the mat. a dog ran after the cat. " * 200
DATA = TokenData.of([TEXT], [], ByteTokenizer())
RECIPE = Recipe(tokens=2048, context_length=32, batch_tokens=128)
BLOCK = Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu"))
ARCH = Architecture(64, (BLOCK, BLOCK), vocab_size=256, context_length=64)


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        (200_000, "loss@200k_tokens"),
        (2_000_000, "loss@2M_tokens"),
        (1500, "loss@1500_tokens"),
        (10**9, "loss@1B_tokens"),
    ],
)
def test_its_name_says_how_long(tokens, name):
    assert loss_metric(tokens) == name
    assert objective_for(name).direction == "min"


def test_it_is_the_loss_of_a_plain_training():
    result = train(build(ARCH), DATA, RECIPE)
    assert TrainedLoss(DATA, RECIPE)(ARCH, "full") == result.validation_loss


def test_going_on_gives_the_same_as_one_go():
    at_once, by_rungs = TrainedLoss(DATA, RECIPE), TrainedLoss(DATA, RECIPE)
    readings = [by_rungs(ARCH, fidelity) for fidelity in ("25%", "50%", "full")]
    assert readings[-1] == at_once(ARCH, "full")
    assert readings[0] > readings[1] > readings[2]


def test_what_was_paused_is_not_trained_again(monkeypatch):
    seen = Counter()
    batch = TokenData.batch

    def counted(self, step, *rest):
        seen[step] += 1
        return batch(self, step, *rest)

    monkeypatch.setattr(TokenData, "batch", counted)
    loss = TrainedLoss(DATA, RECIPE)
    for fidelity in ("25%", "50%", "full"):
        loss(ARCH, fidelity)
    assert seen == dict.fromkeys(range(RECIPE.steps), 1)


def test_a_copy_goes_on_with_what_was_paused_here(monkeypatch):
    loss = TrainedLoss(DATA, RECIPE)
    loss(ARCH, "50%")
    seen = Counter()
    batch = TokenData.batch
    monkeypatch.setattr(TokenData, "batch", lambda self, step, *rest: seen.update([step]) or batch(self, step, *rest))
    copy = pickle.loads(pickle.dumps(loss))
    assert copy(ARCH, "full") == TrainedLoss(DATA, RECIPE)(ARCH, "full")
    assert seen == {step: 2 if step >= RECIPE.steps / 2 else 1 for step in range(RECIPE.steps)}


def test_a_copy_that_outlives_it_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = pickle.dumps(TrainedLoss(DATA, RECIPE))  # whose folder goes with it
    assert list(tmp_path.iterdir()) == []
    copy = pickle.loads(sent)
    assert copy(ARCH, "25%") > copy(ARCH, "full")
    assert list(tmp_path.iterdir()) == []


def test_what_others_were_trained_so_far_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loss = TrainedLoss(DATA, RECIPE)
    evaluator = DesignEvaluator(lambda _: {}, lambda _: 0.0, loss=loss)
    other = replace(ARCH, norm="layernorm")
    for arch in (ARCH, other):
        evaluator.evaluate(arch, "25%")
        evaluator.evaluate(arch, "25%+width=0.5")
    (work,) = tmp_path.iterdir()
    assert len(list(work.glob("*/*"))) == 4
    evaluator.prepare([other])
    assert len(list(work.glob("*"))) == 1
    assert len(list(work.glob("*/*"))) == 2
    evaluator.evaluate(other, "full")
    (left,) = work.glob("*/*")
    assert "width=0.5" in left.name
    assert evaluator.evaluate(ARCH, "full") == evaluator.evaluate(ARCH, "full")


def test_a_narrower_model_is_another_one():
    wide = replace(ARCH, hidden_size=128)
    loss = TrainedLoss(DATA, RECIPE)
    assert loss(wide, "width=0.5") == TrainedLoss(DATA, RECIPE)(
        replace(
            wide,
            hidden_size=64,
            blocks=(
                replace(
                    BLOCK,
                    mixer=replace(BLOCK.mixer, num_heads=1),
                    feed_forward=replace(BLOCK.feed_forward, intermediate_size=64),
                ),
            )
            * 2,
        ),
        "full",
    )
    assert loss(wide, "width=0.5") != loss(wide, "full")


def test_the_frame_is_what_counts_of_tokens_tell():
    worst, best = TrainedLoss(DATA, RECIPE).frame
    counts = Counter(DATA.validation.tolist())
    total = sum(counts.values())
    assert worst == pytest.approx(-sum(n / total * math.log(n / total) for n in counts.values()))
    assert best == worst / 2


def test_a_training_that_diverges_fails_the_candidate():
    with pytest.raises(CandidateError, match="diverged"):
        TrainedLoss(DATA, replace(RECIPE, learning_rate=1e25))(ARCH, "full")


@pytest.mark.parametrize("error", [MemoryError("9 GB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_does_not_suffice_fails_the_candidate(monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(TokenData, "batch", full)
    with pytest.raises(CandidateError, match="not enough memory"):
        TrainedLoss(DATA, RECIPE)(ARCH, "full")


def test_another_error_is_a_bug(monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(TokenData, "batch", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        TrainedLoss(DATA, RECIPE)(ARCH, "full")


def test_on_a_full_disk_the_loss_is_the_same_and_nothing_is_kept(monkeypatch, tmp_path):
    """Nor does it hang on the disk whether a candidate is good."""
    import torch

    expected = TrainedLoss(DATA, RECIPE)(ARCH, "50%"), TrainedLoss(DATA, RECIPE)(ARCH, "full")
    tried = []

    def full(*_):
        tried.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    loss = TrainedLoss(DATA, RECIPE, kept_in=tmp_path)
    assert (loss(ARCH, "50%"), loss(ARCH, "full")) == expected
    assert tried
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_where_a_candidate_is_trained_its_device_is_chosen(monkeypatch):
    """A copy that was sent elsewhere looks there for a GPU."""
    import torch

    expected = TrainedLoss(DATA, RECIPE)(ARCH, "10%")
    loss = pickle.loads(pickle.dumps(TrainedLoss(DATA, RECIPE, "auto")))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loss(ARCH, "10%") == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_here(loss.device) == "cuda"
    assert device_here("cpu") == "cpu"


def test_a_copy_elsewhere_gives_the_same():
    loss = TrainedLoss(DATA, RECIPE)
    loss(ARCH, "50%")
    assert pickle.loads(pickle.dumps(loss))(ARCH, "full") == loss(ARCH, "full")


def task(loss, objectives, vocab=256, context=64):
    space = TransformerSpace("uniform", Defaults(vocab, context)).restricted(num_layers=[4], hidden_size=[256])
    profile = load_profile("laptop-cpu")
    return design_task(space, profile, Workload(context, 1, 16, "fp32"), objectives=objectives, loss=loss)


def test_a_design_task_with_it_trains_nothing_to_begin_with(monkeypatch):
    loss = TrainedLoss(DATA, RECIPE)
    monkeypatch.setattr(TrainedLoss, "__call__", lambda *_: pytest.fail("trained"))
    made = task(loss, ("loss@2048_tokens", "memory_bytes"))
    assert (made.problem.reference.point[0], made.problem.reference.ideal[0]) == loss.frame
    arch = made.problem.space.sample(np.random.default_rng(0))
    assert loss.metric not in made.evaluator.evaluate(arch, "score")


@pytest.mark.parametrize(
    ("loss", "arguments", "words"),
    [
        (None, {}, "needs a training"),
        (TrainedLoss(DATA, replace(RECIPE, tokens=4096)), {}, "loss@4096_tokens"),
        (TrainedLoss(DATA, RECIPE), {"vocab": 100}, "vocabulary of 256"),
        (TrainedLoss(DATA, RECIPE), {"context": 16}, "sequences of 32"),
    ],
)
def test_what_does_not_fit_is_said_at_once(loss, arguments, words):
    with pytest.raises(InputError, match=words):
        task(loss, ("loss@2048_tokens", "memory_bytes"), **arguments)
