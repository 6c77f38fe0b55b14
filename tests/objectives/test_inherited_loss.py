"""The loss with shared weights: trained once, when it is asked for, and the same for the same seed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from mimar.errors import CandidateError, InputError
from mimar.objectives import ONE_SHOT, DesignEvaluator, InheritedLoss, TrainedLoss
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import ByteTokenizer, Recipe, TokenData

DATA = TokenData.of(["the cat sat on the mat. a dog ran after the cat. " * 200], [], ByteTokenizer())
RECIPE = Recipe(tokens=4096, context_length=32, batch_tokens=256, learning_rate=5e-3)


def arch(layers, kind="attention"):
    mixer = Mixer(kind, 2, 1, 32) if kind == "attention" else Mixer(kind, kernel_size=3)
    return Architecture(64, (Block(mixer, FeedForward("swiglu", 128, "silu")),) * layers, 256, 64, position="none")


ARCHS = [arch(layers, kind) for layers in (1, 2, 3) for kind in ("attention", "convolution")]


def test_it_is_drawn_and_trained_once_and_only_when_asked():
    drawn = []
    loss = InheritedLoss(lambda: drawn.append(1) or ARCHS, DATA, RECIPE)
    assert not drawn
    losses = [loss(each) for each in ARCHS]
    assert drawn == [1]
    assert all(0 < each < np.log(256) for each in losses)
    assert len(set(losses)) == len(losses)
    assert InheritedLoss(lambda: ARCHS, DATA, RECIPE)(ARCHS[0]) == losses[0]


def test_it_stands_for_the_trained_loss_at_its_fidelity():
    trained = TrainedLoss(DATA, RECIPE)
    inherited = InheritedLoss(lambda: ARCHS, DATA, RECIPE)
    evaluator = DesignEvaluator(lambda _: {"params": 1.0}, lambda _: 2.0, loss=trained, inherited=inherited)
    metrics = evaluator.evaluate(ARCHS[0], ONE_SHOT)
    assert metrics == {"params": 1.0, "score": 2.0, trained.metric: inherited(ARCHS[0])}
    assert evaluator.evaluate(ARCHS[0], "full")[trained.metric] == trained(ARCHS[0], "full")


def test_what_a_process_is_sent_again_has_kept_its_weights():
    """As where a judge has learnt something, so that its evaluator is sent anew."""
    drawn = []
    loss = InheritedLoss(lambda: drawn.append(1) or ARCHS, DATA, RECIPE)
    sent = [pickle.dumps(loss) for _ in range(2)]
    first, second = map(pickle.loads, sent)
    assert first is second
    assert first(ARCHS[0]) == loss(ARCHS[0])
    assert drawn == [1]
    other = pickle.loads(pickle.dumps(replace(loss, device="cpu")))
    assert other is not first


def test_what_is_larger_than_the_sample_is_judged_too():
    assert 0 < InheritedLoss(lambda: ARCHS, DATA, RECIPE)(arch(4)) < 2 * np.log(256)


def test_what_cannot_be_trained_is_not_trained_again():
    drawn = []
    loss = InheritedLoss(lambda: drawn.append(1) or ARCHS, DATA, replace(RECIPE, learning_rate=1e30))
    for _ in range(2):
        with pytest.raises(CandidateError, match="diverged"):
            loss(ARCHS[0])
    assert drawn == [1]


def test_weights_that_memory_cannot_hold_are_refused_before_they_are_made():
    wide = replace(arch(100), hidden_size=64 * 4096)
    with pytest.raises(InputError, match=r"GB to train, here are .* leave the gate one-shot out"):
        InheritedLoss(lambda: [wide], DATA, RECIPE)(wide)
