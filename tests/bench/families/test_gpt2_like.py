import csv
import gzip
import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mimar.bench.families import Gpt2Like
from mimar.errors import InputError

LTS = {
    "n_layer": "5", "d_model": "128", "d_embed": "256", "div_val": "4", "n_token": "50264", "tgt_len": "192",
    "n_head": "2-4-4-8-8", "d_inner": "1071-640-1286-800-1871",
}  # fmt: skip
HWGPT = {
    "embed_dim": "192", "n_layer": "10", "bias": "1", "n_head": "4-4-4-4-4-4-4-12-12-8",
    "mlp_ratio": "2-3-4-4-2-3-3-4-3-2",
}  # fmt: skip


def truth_rows(name):
    folder = Path(os.environ.get("MIMAR_DATA", ""))
    found = [path for path in (folder / "truth" / name, folder / name) if path.is_file()]
    if not found:
        pytest.skip(f"set MIMAR_DATA to the folder of {name}")
    with gzip.open(found[0], "rt") as lines:
        return list(csv.DictReader(lines))


def test_lts_counts_are_the_published_ones():
    subject = Gpt2Like.from_lts(LTS)
    assert (subject.params, subject.nonembedding_params, subject.output_rank) == (8505006, 1790372, 128)


@pytest.mark.parametrize(
    ("hidden", "embedding", "division", "total"),
    [("512", "128", "1", 46119758), ("512", "128", "2", None)],
)
def test_lts_embeddings_of_other_divisions(hidden, embedding, division, total):
    row = LTS | {"d_model": hidden, "d_embed": embedding, "div_val": division}
    subject = Gpt2Like.from_lts(row)
    published = {"1": 6597632, "2": 4381152}[division]  # adaptive embedding and positions, of published models
    softmax = 50264 + 2 * 129 + 128 * 512
    assert subject.params - subject.nonembedding_params == published + softmax
    assert total is None or published + softmax == total - 39406068


def test_hwgpt_counts_are_the_published_ones():
    assert Gpt2Like.from_hwgpt(HWGPT).params == 25599360


def test_hwgpt_lists_longer_than_the_depth_are_cut_and_heads_have_64_features():
    longer = HWGPT | {"n_head": HWGPT["n_head"] + "-4-4", "mlp_ratio": HWGPT["mlp_ratio"] + "-2-2"}
    assert Gpt2Like.from_hwgpt(longer) == Gpt2Like.from_hwgpt(HWGPT)
    query = Gpt2Like.from_hwgpt(HWGPT).layers[7].matrices[0]
    assert (query.rows, query.cols) == (12 * 64, 192)


def test_one_value_stands_for_all_layers():
    assert Gpt2Like.from_lts(LTS | {"n_head": "4", "d_inner": "900"}).num_heads == (4,) * 5


def test_every_published_count_of_lts():
    for row in truth_rows("lts_gpt2_wt103.csv.gz"):
        subject = Gpt2Like.from_lts(row)
        assert subject.params == float(row["params_total"])
        assert subject.nonembedding_params == float(row["params_nonembedding"])


def test_every_published_count_of_hwgpt():
    for row in truth_rows("hwgpt_s.csv.gz"):
        assert Gpt2Like.from_hwgpt(row).params == int(row["params"])


def test_plain_counts_equal_a_module_with_a_whole_vocabulary():
    subject = Gpt2Like(
        64, (2, 4), (70, 90), embedding_size=32, vocab_size=300, context_length=16, bias=False, tied=True
    )
    assert subject.params == sum(weight.numel() for weight in subject.build(0).parameters())


def test_flops_by_hand():
    subject = Gpt2Like(8, (2,), (16,), vocab_size=10, context_length=4, embedding_size=4)
    linear = 4 * 8 * 8 + 2 * 8 * 16 + 10 * 4 + 4 * 8
    assert subject.flops == 2 * 4 * linear + 4 * 8 * (4 * 5 / 2)


def test_factorised_head_is_the_transposed_embedding():
    model = Gpt2Like(64, (2,), (70,), embedding_size=32, context_length=16).build(0)
    states = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    expected = states @ model.embedding.projection.weight @ model.embedding.table.weight.T
    torch.testing.assert_close(model.logits(states), expected)


def test_attention_is_causal_and_reads_positions():
    subject = Gpt2Like(64, (2, 1), (70, 50), context_length=16)
    model, batch = subject.build(0), subject.draw(0)
    changed = batch.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 512
    same = torch.zeros(1, 6, dtype=torch.long)
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[:, :-1], model(changed)[:, :-1])
        at_positions = model.embedding(same)
    assert not torch.allclose(at_positions[:, 0], at_positions[:, 1])


def test_hwgpt_block_computes_gated_feed_forward_with_wide_heads():
    subject = Gpt2Like(64, (2,), (128,), head_size=64, gated=True, learned_positions=False)
    part = subject.build(0).blocks[0].feed_forward
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    expected = (F.silu(x @ part.gate.weight.T) * (x @ part.up.weight.T)) @ part.down.weight.T
    torch.testing.assert_close(part(x), expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_head": "2-4"}, "one a layer"),
        ({"n_head": "2-x-4-8-8"}, "whole numbers"),
        ({"n_head": "3"}, "divide"),
    ],
)
def test_unreadable_rows_say_what_is_wrong(changed, message):
    with pytest.raises(InputError, match=message):
        Gpt2Like.from_lts(LTS | changed)


def test_rows_of_another_benchmark_name_the_missing_column():
    with pytest.raises(InputError, match="d_model"):
        Gpt2Like.from_lts(HWGPT)
