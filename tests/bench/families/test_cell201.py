import pytest
import torch
from torch import nn

from mimar.bench.families import Cell201
from mimar.bench.families._cell201_network import PatchConv, Zero, make_operation
from mimar.errors import ArchitectureError


def cell_of(*names):
    a, b, c, d, e, f = names
    return Cell201(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")


LARGEST = cell_of(*["nor_conv_3x3"] * 6)
MIXED = cell_of("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3")


def test_largest_cell_has_the_published_counts():
    assert LARGEST.params == 1531546
    assert LARGEST.flops / 2 == 220_119_680  # published: 220.12 M


@pytest.mark.parametrize("subject", [LARGEST, MIXED, cell_of(*["none"] * 6)])
def test_counts_equal_the_module(subject):
    module = subject.build(0)
    assert subject.params == sum(weight.numel() for weight in module.parameters())
    outside = [*module.embedding.parameters(), *module.classifier.parameters()]
    assert subject.nonembedding_params == subject.params - sum(weight.numel() for weight in outside)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(1, 1, 8), (3, 1, 8), (3, 2, 8), (1, 2, 8), (3, 1, 5)])
def test_patches_make_a_convolution(kernel, stride, size):
    generator = torch.Generator().manual_seed(0)
    ours = PatchConv(3, 4, kernel, stride)
    theirs = nn.Conv2d(3, 4, kernel, stride, padding=kernel // 2, bias=False)
    weight, x = (
        torch.randn(4, 3, kernel, kernel, generator=generator),
        torch.randn(2, 3, size, size, generator=generator),
    )
    with torch.no_grad():
        ours.linear.weight.copy_(weight.flatten(1))
        theirs.weight.copy_(weight)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_cell_adds_up_the_edges_of_its_string():
    cell, x = MIXED.build(0).blocks[0], torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0))
    first, skip, pool, none, point, second = cell.edges
    assert isinstance(none, Zero)
    with torch.no_grad():
        one = first(x)
        two = skip(x) + pool(one)
        torch.testing.assert_close(cell(x), point(one) + second(two))


def test_pooling_counts_no_padding():
    x = torch.ones(1, 2, 4, 4)
    assert torch.equal(make_operation("avg_pool_3x3", 2)(x), x)


def test_stages_halve_the_images_and_double_the_channels():
    module = MIXED.build(0)
    x = module.embedding(MIXED.draw(0)[:2])
    shapes = []
    for block in module.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32)] * 5 + [(32, 16, 16)] * 6 + [(64, 8, 8)] * 6


def test_signal_keeps_its_scale_through_convolutions():
    module = LARGEST.build(0)
    with torch.no_grad():
        entering = module.embedding(LARGEST.draw(0))
        after = module.blocks[0].edges[0].conv(entering.relu())
    assert 0.7 < float(after.std() / entering.std()) < 1.5


@pytest.mark.parametrize(
    "arch",
    [
        "",
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|max_pool~2|",
        "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|",
    ],
)
def test_other_strings_are_refused(arch):
    with pytest.raises(ArchitectureError, match="expected"):
        Cell201(arch)
