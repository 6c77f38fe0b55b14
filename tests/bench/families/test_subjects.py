"""What every family owes the proxies, checked on random members."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from mimar.bench.families import Cell201, FlexiBert, FlexiBertLayer, Gpt2Like
from mimar.proxies import PROXIES, ProxyInputs, final_states

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def random_lts(rng):
    layers = rng.randint(1, 3)
    heads, inner = (rng.choices(options, k=layers) for options in ((1, 2, 4), (71, 90, 128)))
    return Gpt2Like(64, tuple(heads), tuple(inner), embedding_size=rng.choice((32, 64, 96)), context_length=24)


def random_hwgpt(rng):
    layers = rng.randint(1, 3)
    heads, ratios = (rng.choices(options, k=layers) for options in ((1, 2, 3), (2, 3, 4)))
    row = {"embed_dim": "64", "n_layer": str(layers), "bias": str(rng.randint(0, 1))}
    joined = {"n_head": "-".join(map(str, heads)), "mlp_ratio": "-".join(map(str, ratios))}
    return Gpt2Like.from_hwgpt(row | joined)


def random_flexibert(rng):
    def layer():
        operation = rng.choice(("SDP", "WMA", "DFT", "DCT", "DSC"))
        widths = rng.choices((64, 96), k=rng.choice((1, 3)))
        return FlexiBertLayer(operation, rng.choice((2, 4)), tuple(widths), 5 if operation == "DSC" else 0)

    return FlexiBert(rng.choice((64, 128)), tuple(layer() for _ in range(rng.choice((2, 4)))))


def random_cell(rng):
    nodes = ("|".join(f"{rng.choice(OPERATIONS)}~{i}" for i in range(count)) for count in (1, 2, 3))
    return Cell201("+".join(f"|{node}|" for node in nodes))


FAMILIES = {"lts": random_lts, "hwgpt": random_hwgpt, "flexibert": random_flexibert, "cell201": random_cell}
PLAIN_CELL = Cell201("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|")
NOT_DRAWN = {
    "cell201-plain": PLAIN_CELL,
    "cell201-disconnected": Cell201("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
    "flexibert-transforms": FlexiBert(64, tuple(FlexiBertLayer(op, 2, (64,)) for op in ("DFT", "DCT"))),
    "flexibert-mixed": FlexiBert(64, (FlexiBertLayer("DFT", 2, (64,)), FlexiBertLayer("DSC", 2, (64,), 9))),
}
MEMBERS = [
    pytest.param(make(random.Random(seed)), id=f"{name}-{seed}", marks=[pytest.mark.slow] * (name == "cell201"))
    for name, make in FAMILIES.items()
    for seed in range(2 if name == "cell201" else 5)
] + [pytest.param(subject, id=name) for name, subject in NOT_DRAWN.items()]


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_a_description_is_one_line_and_tells_networks_apart(make):
    drawn = {subject for seed in range(60) if (subject := make(random.Random(seed)))}
    told = {subject.description: subject for subject in drawn}
    assert len(told) >= 10
    for description, subject in told.items():
        assert "\n" not in description
        assert f"{subject.params / 1e6:.2f}M parameters" in description
    for subject in drawn:
        assert weights(subject) == weights(told[subject.description])


def weights(subject):
    """Name and size of each matrix and the heads, layer by layer."""
    return [(layer.num_heads, [(m.name, m.rows, m.cols) for m in layer.matrices]) for layer in subject.layers]


@pytest.mark.parametrize("subject", MEMBERS)
def test_shapes_name_the_weights_of_the_module(subject):
    module = subject.build(0)
    built = {
        name: tuple(weight.shape)
        for name, weight in module.named_parameters()
        if name.startswith("blocks.") and weight.dim() > 1
    }
    listed = {
        f"blocks.{index}.{matrix.name}": (matrix.rows, matrix.cols)
        for index, layer in enumerate(subject.shapes.layers)
        for matrix in layer.matrices
    }
    assert listed == built
    assert len(module.blocks) == len(subject.shapes.layers) == subject.num_layers


@pytest.mark.parametrize("subject", MEMBERS)
def test_module_keeps_the_contract_of_subjects(subject):
    numpy_state, torch_state = np.random.get_state(legacy=False)["state"], torch.get_rng_state()
    module, batch = subject.build(3), subject.draw(3)
    with torch.no_grad():
        loss, states = subject.loss(module, batch), final_states(module, batch)
        entering = module.embedding(batch)
        repeated = subject.loss(subject.build(3), subject.draw(3))
        others = subject.loss(subject.build(4), batch), subject.loss(module, subject.draw(4))
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state["key"])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert not any(part.training for part in module.modules())
    assert not dict(module.named_buffers())
    assert loss.shape == ()
    assert loss == repeated
    assert torch.isfinite(loss)
    assert loss not in others or subject is NOT_DRAWN["cell201-disconnected"]
    assert (states.shape[0], states.shape[2]) == (len(batch), subject.hidden_size)
    # A sample of ones enters the first layer as embeddings do; tokens may be fewer.
    assert subject.ones().shape[2:] == entering.shape[2:]


@pytest.mark.parametrize("subject", MEMBERS)
def test_every_sample_for_itself_where_the_subject_says_so(subject):
    module, batch = subject.build(0), subject.draw(0)
    with torch.no_grad():
        together, alone = final_states(module, batch), final_states(module, batch[:1])
    if not subject.mixes_samples:
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("subject", MEMBERS)
def test_every_proxy_gives_a_finite_score(subject):
    inputs = ProxyInputs(subject, seed=1)
    scores = {proxy.name: proxy(inputs) for proxy in PROXIES}
    assert {name: score for name, score in scores.items() if not np.isfinite(score)} == {}


@pytest.mark.parametrize(
    "subject",
    [random_lts(random.Random(0)), random_hwgpt(random.Random(0)), random_flexibert(random.Random(0)), PLAIN_CELL],
)
def test_softmaxes_and_activations_are_seen(subject):
    observation = ProxyInputs(subject).observation
    heads = [layer.num_heads for layer in subject.shapes.layers if layer.num_heads]
    assert [use.output.shape[1] for use in observation.attention] == heads
    for use in observation.attention:
        assert use.output.shape[2] == use.output.shape[3]
        torch.testing.assert_close(use.output.sum(dim=-1), torch.ones(use.output.shape[:3]))
    assert observation.activations


def test_importing_the_families_imports_no_torch():
    code = "import sys, mimar.bench.families; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
