"""One-line descriptions, numbers for people, training cost, tables for terminals."""

import io
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

import mimar.report
from mimar import pareto, shapes
from mimar.errors import InputError
from mimar.objectives import front_trials, losses
from mimar.report import (
    A100,
    Accelerator,
    describe_architecture,
    display_of,
    format_metric,
    format_number,
    front_table,
    training_cost,
)
from mimar.space import Architecture, Block, FeedForward, Mixer

ATTENTION = Block(Mixer("attention", 9, 3, 64), FeedForward("swiglu", 1536, "silu"))
UNIFORM = Architecture(576, (ATTENTION,) * 12)


def test_uniform():
    wanted = "12 × 576, grouped-query 9/3×64, swiglu 1536, rope, rmsnorm pre"
    assert describe_architecture(UNIFORM) == wanted


def test_what_is_unusual_is_named():
    arch = replace(
        UNIFORM,
        topology="parallel",
        layer_sharing=2,
        tied_embeddings=False,
        attention_kernel="math",
        position="none",
        norm="layernorm",
        norm_placement="sandwich",
    )
    wanted = "no position code, layernorm sandwich, parallel, weights shared by 2, untied, math kernel"
    assert describe_architecture(arch).endswith(wanted)


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        (Block(Mixer("convolution", kernel_size=7), FeedForward("none")), "convolution 7, no feed-forward"),
        (Block(Mixer("none"), FeedForward("ffn", 2048, "relu2")), "no mixer, ffn relu2 2048"),
        (
            Block(Mixer("sliding_window", 8, 1, 64, window=256), FeedForward("moe", 512, "silu", 8, 2)),
            "sliding-window 8/1×64 window 256, moe 2 of 8×512 silu",
        ),
        (Block(Mixer("attention", 8, 8, 64), FeedForward("glu", 512, "sigmoid")), "multi-head 8/8×64, glu 512"),
    ],
)
def test_parts(block, wanted):
    assert f"4 × 512, {wanted}, rope" in describe_architecture(Architecture(512, (block,) * 4))


def test_layers_that_differ_are_runs():
    other = Block(Mixer("linear", 8, 8, 64), FeedForward("none"))
    arch = replace(UNIFORM, blocks=(ATTENTION,) * 8 + (other,) * 4)
    wanted = "[8× grouped-query 9/3×64 + swiglu 1536 | 4× linear 8/8×64 + no feed-forward]"
    assert describe_architecture(arch) == f"12 × 576, {wanted}, rope, rmsnorm pre"


def test_many_runs_stay_one_short_line(make_trials):
    other = Block(Mixer("linear", 8, 8, 64), FeedForward("none"))
    line = describe_architecture(replace(UNIFORM, blocks=(ATTENTION, other) * 8))
    assert "… 12 more layers, 2 kinds in all" in line
    for trial in make_trials(30, "per-layer"):
        line = describe_architecture(trial.architecture)
        assert "\n" not in line
        assert len(line) < 400


def test_numbers():
    assert [format_number(v) for v in (0, 0.012345, 12.3456, 123456.7, -5e6)] == [
        "0", "0.01235", "12.35", "123,457", "-5M",
    ]  # fmt: skip
    assert format_metric("params", 135e6) == "135"
    assert display_of("memory_bytes").title == "memory (MB)"
    assert display_of("own metric").title == "own metric"


def test_training_cost_is_three_forward_passes():
    cost = training_cost(UNIFORM, 2e9)
    assert cost.flops == pytest.approx(3 * shapes.flops(UNIFORM, 1024) / 1024 * 2e9)
    assert cost.gpu_hours == pytest.approx(cost.flops / (312e12 * 0.4) / 3600)
    assert cost.dollars == pytest.approx(cost.gpu_hours * A100.dollars_per_hour)
    free = Accelerator("old card", 1e12, 1.0, 0.0)
    assert training_cost(UNIFORM, 2e9, free).dollars == 0
    assert "312 TFLOP/s at 40% utilisation, $2 an hour" in A100.sentence


@pytest.mark.parametrize("tokens", [0.0, -1.0, float("nan")])
def test_training_needs_tokens(tokens):
    with pytest.raises(InputError, match="training tokens must be more than 0"):
        training_cost(UNIFORM, tokens)


def test_front_trials_are_the_non_dominated_trials(data):
    done = [trial for trial in data.trials if trial.status == "complete"]
    wanted = pareto.front(losses([trial.metrics for trial in done], data.objectives))
    assert front_trials(data.trials, data.objectives) == [done[i] for i in wanted]


def printed(data):
    out = io.StringIO()
    Console(width=100, file=out, color_system=None).print(front_table(data))
    return out.getvalue()


def test_table_fits_a_terminal_and_holds_the_front(data, hostile):
    text = printed(data)
    assert max(len(line) for line in text.splitlines()) <= 100
    for row in front_trials(data.trials, data.objectives):
        assert f" {row.id} " in text
        assert f" {format_metric('memory_bytes', row.metrics['memory_bytes'])} " in text
    assert max(len(line) for line in printed(hostile).splitlines()) <= 100


def test_table_of_nothing(make_study):
    assert "architecture" in printed(make_study(()))


def test_exported_names_exist_and_heavy_packages_wait():
    assert sorted(mimar.report.__all__) == list(mimar.report.__all__)
    assert all(getattr(mimar.report, name) is not None for name in mimar.report.__all__)
    code = "import mimar.report, sys; print([m for m in ('plotly', 'rich', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
