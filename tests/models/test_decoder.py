"""Causality, caching, weights, gradients and operation counts of every architecture."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mimar import shapes
from mimar.errors import ArchitectureError, InputError
from mimar.models import build, generate
from mimar.space import SOFTMAX_MIXERS, Block, FeedForward, Mixer


def with_math(arch):
    softmax = any(block.mixer.kind in SOFTMAX_MIXERS for block in arch.blocks)
    return replace(arch, attention_kernel="math") if softmax else arch


def assert_near(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
def test_later_tokens_do_not_change_earlier_logits(any_arch, lively, tokens):
    model, ids = lively(any_arch), tokens(14)
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % any_arch.vocab_size
    before, after = model(ids), model(changed)
    assert_near(after[:, :7], before[:, :7])
    assert (after[:, 7:] - before[:, 7:]).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("steps", [(1,) * 14, (6, 1, 5, 2), (3, 11)], ids=["one_by_one", "chunks", "two"])
def test_cached_equals_uncached(any_arch, lively, tokens, steps):
    model, ids = lively(any_arch), tokens(14)
    cache = model.new_cache()
    parts = [model(part, cache) for part in ids.split(steps, dim=1)]
    assert_near(torch.cat(parts, dim=1), model(ids))
    assert cache.length == 14


@torch.no_grad()
@pytest.mark.parametrize("grouped", [4, 2])
def test_linear_attention_over_many_chunks(with_parts, lively, tokens, grouped):
    arch = with_parts(Mixer("linear", 4, grouped, 16), position="none", context_length=256)
    model, ids = lively(arch), tokens(200)
    whole, cache = model(ids), model.new_cache()
    one_by_one = [model(part, cache) for part in ids.split(1, dim=1)]
    assert_near(torch.cat(one_by_one, dim=1), whole)
    cache = model.new_cache()
    assert_near(torch.cat([model(part, cache) for part in ids.split(90, dim=1)], dim=1), whole)


@torch.no_grad()
def test_cache_keeps_no_more_than_the_next_token_sees(with_parts, lively, tokens):
    mixers = {
        Mixer("attention", 4, 2, 16): 20 * 2 * 2 * 16,
        Mixer("sliding_window", 4, 2, 16, window=5): 4 * 2 * 2 * 16,
        Mixer("block_sparse", 4, 2, 16, window=8): 12 * 2 * 2 * 16,  # half a block and the one before
        Mixer("linear", 4, 2, 16): 2 * 16 * 17,
        Mixer("convolution", kernel_size=3): 2 * 64,
    }
    for mixer, numbers in mixers.items():
        model = lively(with_parts(mixer, position="none"))
        cache = model.new_cache()
        model(tokens(20), cache)
        assert cache.nbytes == numbers * 2 * 2 * 4  # layers, batch, bytes


@torch.no_grad()
@pytest.mark.parametrize(
    "mixer",
    [Mixer("attention", 4, 2, 16), Mixer("sliding_window", 4, 2, 16, window=5), Mixer("linear", 4, 2, 16),
     Mixer("convolution", kernel_size=3)],
    ids=lambda mixer: mixer.kind,
)  # fmt: skip
def test_cache_keeps_no_larger_tensor_alive(with_parts, lively, tokens, mixer):
    model = lively(with_parts(mixer, position="none", context_length=512))
    cache = model.new_cache()
    model(tokens(400), cache)
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for layer in cache.layers for tensor in layer.tensors}  # fmt: skip
    assert sum(held.values()) <= 2 * cache.nbytes


def test_weights_are_those_of_shapes(any_arch):
    found = {name: tuple(tensor.shape) for name, tensor in build(any_arch, device="meta").state_dict().items()}
    expected = {
        matrix.name: (matrix.cols,) if matrix.role == "norm" else (matrix.rows, matrix.cols)
        for matrix in shapes.matrices(any_arch)
    }
    assert found == expected
    model = build(any_arch, device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == shapes.parameters(any_arch)


@torch.no_grad()
def test_flash_equals_math(any_arch, lively, tokens):
    model, other = lively(replace(any_arch, attention_kernel="flash")), lively(with_math(any_arch))
    assert_near(model(tokens(14)), other(tokens(14)))


def test_gradients_of_first_and_second_order_are_finite(any_arch, lively, tokens):
    model, ids = lively(with_math(any_arch)), tokens(9)
    loss = model(ids).logsumexp(-1).mean()
    weights = dict(model.named_parameters())
    first = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    assert all(gradient.isfinite().all() for gradient in first)
    sum(gradient.square().sum() for gradient in first).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights.values())
    assert any(gradient.abs().max() > 0 for gradient in first)


@pytest.mark.parametrize("topology", ["sequential", "parallel"])
def test_flash_kernel_trains(with_parts, lively, tokens, topology):
    model = lively(with_parts(topology=topology, dropout=0.1)).train()
    model(tokens(9)).logsumexp(-1).mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())


def test_dropout_acts_in_training_only(with_parts, lively, tokens):
    model = lively(with_parts(dropout=0.5))
    ids = tokens(5)
    assert torch.equal(model(ids), model(ids))
    model.train()
    torch.manual_seed(0)
    assert not torch.allclose(model(ids), model(ids))


@torch.no_grad()
def test_embeddings_in_place_of_tokens(any_arch, lively, tokens):
    model, ids = lively(any_arch), tokens(5)
    assert torch.equal(model.forward_embeddings(model.embedding(ids)), model(ids))


# All projections agree to the operation. Token mixing differs where the module does more than `shapes` counts: the
# math kernel computes every pair and then masks, and linear attention compares the tokens of one chunk pairwise.
@torch.no_grad()
def test_operations_agree_with_an_independent_count(any_arch, lively, tokens):
    arch, length = with_math(any_arch), 16
    model = lively(arch)
    with FlopCounterMode(display=False) as counter:
        model(tokens(length)[:1])
    wanted = shapes.flops(arch, length)
    for block in arch.blocks:
        mixer = block.mixer
        wide = mixer.num_heads * mixer.head_size
        if mixer.kind in SOFTMAX_MIXERS:
            wanted += 4 * wide * (length**2 - shapes.attended_pairs(mixer, length))
        if mixer.kind == "linear":
            wanted += _linear_operations(mixer, length) - 4 * length * wide * mixer.head_size
    assert counter.get_total_flops() == pytest.approx(wanted, rel=1e-9)


def _linear_operations(mixer, length):
    """One chunk: pairs of queries and keys, pairs and values, state of each kv head, state read by each query."""
    size, pairs = mixer.head_size, mixer.num_heads * length**2
    states = (mixer.num_kv_heads + mixer.num_heads) * length * size * (size + 1)
    return 2 * (pairs * size + pairs * (size + 1) + states)


def test_initial_weights(with_parts):
    arch = with_parts(Mixer("convolution", kernel_size=3), position="none", norm="layernorm", tied_embeddings=False)
    model = build(arch, generator=torch.Generator().manual_seed(3))
    for name, weight in model.state_dict().items():
        if "norm" in name:
            assert (weight == (0.0 if name.endswith("bias") else 1.0)).all()
        else:
            assert abs(weight.mean()) < 0.005
            assert abs(weight.std() - 0.02) < 0.003


def test_a_seed_fixes_the_weights(llama):
    def weights(seed):
        return build(llama, generator=torch.Generator().manual_seed(seed)).state_dict()

    assert all(torch.equal(a, b) for a, b in zip(weights(4).values(), weights(4).values(), strict=True))
    assert not torch.equal(weights(4)["embedding.weight"], weights(5)["embedding.weight"])
    by_default = build(llama).state_dict()
    assert torch.equal(by_default["embedding.weight"], weights(0)["embedding.weight"])


def test_dtype_and_meta(llama, tokens):
    model = build(llama, dtype=torch.bfloat16)
    assert model(tokens(4)).dtype == torch.bfloat16
    assert all(weight.is_meta for weight in build(llama, device="meta").parameters())


def test_illegal_architecture_is_refused(llama):
    broken = replace(llama, blocks=(Block(Mixer("attention", 4, 3, 16), FeedForward("none")),) * 2)
    with pytest.raises(ArchitectureError, match="divisible by num_kv_heads"):
        build(broken)


def test_greedy_generation_takes_the_likeliest_token(any_arch, lively, tokens):
    model, prompt = lively(any_arch), tokens(3)
    text = generate(model, prompt, 5)
    for _ in range(5):
        prompt = torch.cat((prompt, model(prompt)[:, -1].argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(text, prompt)


def test_sampling_follows_its_generator(llama, lively, tokens):
    model = lively(replace(llama, dropout=0.5)).train()

    def sample(seed, temperature=1.0):
        generator = torch.Generator().manual_seed(seed)
        return generate(model, tokens(3), 12, temperature=temperature, generator=generator)

    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))
    assert torch.equal(sample(0, temperature=1e-4), generate(model, tokens(3), 12))
    assert model.training


def test_generation_says_what_it_needs(llama, lively, tokens):
    model = lively(llama)
    with pytest.raises(InputError, match="at least 1 token"):
        generate(model, tokens(0), 3)
    with pytest.raises(InputError, match="generator"):
        generate(model, tokens(2), 3, temperature=0.7)
