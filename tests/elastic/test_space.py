"""Sub-networks as a search space."""

import numpy as np
import pytest

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.errors import InputError
from mimar.shapes import parameters
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.testing import check_space

BLOCK = Block(Mixer("attention", 9, 3, 64), FeedForward("swiglu", 1536, "silu"))
PARENT = Architecture(576, (BLOCK,) * 6, 1000, 512)
SPACES = {
    "per layer": ElasticSpace.of(PARENT),
    "in GGUF": ElasticSpace.of(PARENT, "G", steps=4),
    "uniform": ElasticSpace.of(PARENT, "U"),
    "protected ends": ElasticSpace.of(PARENT, "G", protected=(0, 5)),
    "uniform, protected ends": ElasticSpace.of(PARENT, "U", protected=(0, 5)),
}


@pytest.mark.parametrize("name", SPACES)
def test_keeps_the_contract(name):
    check_space(SPACES[name], np.random.default_rng(sorted(SPACES).index(name)), samples=20)


def test_samples_have_all_sizes():
    space, rng = ElasticSpace.of(PARENT), np.random.default_rng(0)
    whole = SubNetwork.whole(PARENT).block_params(PARENT)
    shares = [space.sample(rng).block_params(PARENT) / whole for _ in range(400)]
    counts, _ = np.histogram(shares, bins=4, range=(0, 1))
    assert counts.min() > 60, f"expected about 100 in each quarter, got {counts}"


def test_a_swap_keeps_the_size():
    space, rng = ElasticSpace.of(PARENT), np.random.default_rng(0)
    arch = space.sample(rng)
    mutants = [space.mutate(arch, rng) for _ in range(300)]
    changed = [sum(a != b for a, b in zip(arch.sizes, mutant.sizes, strict=True)) for mutant in mutants]
    assert {1, 2} == set(changed)
    both = [mutant for mutant, count in zip(mutants, changed, strict=True) if count == 2]
    for mutant in both:
        grown = [
            b > a for x, y in zip(arch.sizes, mutant.sizes, strict=True) for a, b in zip(x, y, strict=True) if a != b
        ]
        assert sorted(grown) == [False, True]


def test_widths_are_evenly_spaced_multiples_of_a_block():
    (widths, *_) = ElasticSpace.of(PARENT, steps=8).intermediate
    assert widths == (0, 192, 384, 576, 768, 960, 1152, 1344, 1536)
    odd = Architecture(576, (Block(BLOCK.mixer, FeedForward("swiglu", 1000, "silu")),), 1000, 512)
    assert ElasticSpace.of(odd, steps=4).intermediate == ((0, 256, 512, 736, 1000),)


def test_parameters_are_those_of_the_model():
    sub = SubNetwork((3, 2, 0, 0, 1, 3), (1536, 512, 256, 0, 0, 1536))
    assert sub.kept_layers == (0, 1, 2, 4, 5)
    arch, whole = sub.architecture(PARENT), SubNetwork.whole(PARENT)
    assert arch.num_layers == 5
    assert arch.blocks[1].mixer == Mixer("attention", 6, 2, 64)
    assert arch.blocks[2].mixer.kind == "none"
    assert arch.blocks[3].feed_forward.kind == "none"
    norms = 576 * (12 - 8)  # of four parts that are gone
    gone = whole.block_params(PARENT) - sub.block_params(PARENT)
    assert parameters(PARENT) - parameters(arch) == gone + norms
    assert whole.block_params(PARENT) == 6 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)


def test_what_a_form_cannot_hold_has_reasons():
    per_layer, gguf, uniform = (ElasticSpace.of(PARENT, form) for form in "RGU")
    headless = SubNetwork((0, 3, 3, 3, 3, 3), (1536,) * 6)
    assert per_layer.validate(headless) == ()
    assert "layer 0: the first layer that is kept needs attention" in gguf.validate(headless)[0]
    assert gguf.validate(SubNetwork((0, 3, 3, 3, 3, 3), (0, *(1536,) * 5))) == ()
    assert "same sizes, got 2" in uniform.validate(headless)[0]
    assert "needs attention" in per_layer.validate(SubNetwork((0,) * 6, (1536,) * 6))[0]
    assert per_layer.validate(SubNetwork((2,) * 6, (1535,) * 6))[0].startswith(
        "layer 0: intermediate must be one of 0, 192"
    )
    assert "expected sizes of 6 layers, got 2" in per_layer.validate(SubNetwork((3, 3), (192, 192)))
    kept = ElasticSpace.of(PARENT, "U", protected=(0,))
    assert "layer 0 cannot be dropped" in kept.validate(SubNetwork((0, *(3,) * 5), (0, *(1536,) * 5)))


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="no layer 6: the parent has 6"):
        ElasticSpace.of(PARENT, protected=(6,))
    with pytest.raises(InputError, match="at least one width"):
        ElasticSpace.of(PARENT, steps=0)
