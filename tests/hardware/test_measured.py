"""What runs real models on this machine: their times and their peak memory."""

from functools import partial

import numpy as np
import pytest
import torch

from mimar.hardware import Workload, memory_truth, speed_truth, unseen_architectures
from mimar.hardware._measure import calibration_models
from mimar.hardware._peak import STATUS
from mimar.hardware._timing import fastest, passes, time_passes
from mimar.shapes import parameters
from mimar.space import Architecture, Block, FeedForward, Mixer, illegal_reasons

CPU = torch.device("cpu")


@pytest.fixture
def small():
    block = Block(Mixer("sliding_window", 4, 2, 16, window=8), FeedForward("swiglu", 64, "silu"))
    other = Block(Mixer("linear", 4, 2, 16), FeedForward("ffn", 64, "relu"))
    return Architecture(64, (block, other), vocab_size=100, context_length=64)


def test_every_step_decodes_the_same_token(small):
    jobs = passes(small, Workload(48, 2, 16, "fp32"), CPU)
    with torch.inference_mode():
        assert jobs["prefill"]().shape == jobs["decode"]().shape == (2, 1, 100)
        assert torch.equal(jobs["decode"](), jobs["decode"]())


def test_a_context_of_one_token(small):
    with torch.inference_mode():
        assert passes(small, Workload(1, 1, 1, "fp32"), CPU)["decode"]().shape == (1, 1, 100)


def test_more_work_takes_longer():
    few, many = (partial(torch.matmul, torch.ones(n, n), torch.ones(n, n)) for n in (64, 512))
    quick, slow = fastest([few, many], budget_s=0.0, least=20)
    assert 0 < quick < slow


def test_both_passes_of_every_model(small):
    found = time_passes([(small, Workload(32, 1, 16, "fp32")), (small, Workload(64, 1, 64, "fp32"))], CPU, 0.0)
    assert [one.kind for one in found] == ["prefill", "decode"] * 2
    assert all(one.cost > 0 for one in found)


def test_the_models_of_the_calibration():
    models = calibration_models(CPU, "fp32")
    assert models == calibration_models(CPU, "fp32")
    assert not any(illegal_reasons(arch) for arch, _ in models)
    kinds = {block.mixer.kind for arch, _ in models for block in arch.blocks}
    parts = {block.feed_forward.kind for arch, _ in models for block in arch.blocks}
    assert {"attention", "linear", "convolution", "sliding_window"} <= kinds
    assert {"ffn", "swiglu", "none"} <= parts
    assert not {arch for arch, _ in models} & set(unseen_architectures(30, 0, 30e6, 1024))


def test_unseen_architectures_are_small_and_fixed():
    found = unseen_architectures(5, 3, 10e6, 512)
    assert found == unseen_architectures(5, 3, 10e6, 512)
    assert all(parameters(arch) <= 10e6 for arch in found)


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell a process its peak")
def test_peak_memory_is_near_the_prediction():
    """Weights, cache and activations of a few megabytes to hundreds; convolutions keep more than is predicted."""
    rows = memory_truth(unseen_architectures(4, 5, 20e6, 1024), Workload(512, 1, 512, "fp32"))
    assert all(0.3 < row.predicted_bytes / row.measured_bytes < 3.0 for row in rows)


@pytest.mark.slow
def test_the_calibration_ranks_architectures_it_has_not_seen():
    """The error itself belongs to a quiet machine; ranks survive a busy one."""
    told = []
    truth = speed_truth(unseen_architectures(8, 7, 20e6, 1024), Workload(256, 1, 64, "fp32"), lambda *n: told.append(n))
    for kind in ("prefill", "decode"):
        assert truth.agreement(kind).n == 8
        assert truth.agreement(kind).spearman > 0.3  # eight models, beside other tests on the same cores
        pairs = [(m.cost, p) for m, p in zip(truth.measured, truth.predicted, strict=True) if m.kind == kind]
        assert np.median([abs(np.log(cost / predicted)) for cost, predicted in pairs]) < np.log(3.0)
    assert told[-1][0] == told[-1][1]
