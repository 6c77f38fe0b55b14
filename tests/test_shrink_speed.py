"""How fast llama.cpp is, as a sum over the parts of a sub-network."""

import pytest
from tests.elastic.conftest import SIZES
from transformers import LlamaConfig, LlamaForCausalLM

from mimar.elastic import ElasticSpace, SubNetwork, load_parent
from mimar.formats import Speed
from mimar.shrink import LlamaCppSpeed, time_in_llama_cpp
from mimar.shrink._speed import probes
from mimar.training import tokenizer_named


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(LlamaConfig(**{**SIZES, "vocab_size": 300})).save_pretrained(path)
    tokenizer_named("train:300", ["a cat sat on the mat " * 50]).save(path)
    return path


@pytest.fixture(scope="module")
def parent(folder):
    return load_parent(str(folder))


def seconds(sub, model, attention, head, feed_forward, channel):
    """A machine on which every part takes its time."""
    attentions, feed_forwards = (sum(map(bool, sizes)) for sizes in (sub.kv_heads, sub.intermediate))
    heads, channels = sum(sub.kv_heads), sum(sub.intermediate)
    return model + attention * attentions + head * heads + feed_forward * feed_forwards + channel * channels


def test_the_shares_of_all_parts_are_found(parent):
    space = ElasticSpace.of(parent.arch, "G", steps=4)
    prefill, decode = (5.0, 0.4, 0.1, 0.2, 0.01), (0.5, 0.04, 0.02, 0.03, 0.002)
    timed = [(sub, Speed(16 / seconds(sub, *prefill), 1 / seconds(sub, *decode))) for sub in probes(space)]
    speed = LlamaCppSpeed.of(timed, 16)
    layers = parent.arch.num_layers
    other = SubNetwork((1, *[0] * (layers - 1)), (32, 64, *[0] * (layers - 2)))
    found = speed.metrics(other)
    assert found["ttft_s"] == pytest.approx(seconds(other, *prefill))
    assert found["decode_tokens_per_second"] == pytest.approx(1 / seconds(other, *decode))


@pytest.mark.parametrize("form", ["U", "R", "G"])
def test_probes_are_sub_networks_of_the_form(parent, form):
    space = ElasticSpace.of(parent.arch, form, steps=4)
    assert len(probes(space)) == (4 if form == "U" else 6)
    assert not any(reason for sub in probes(space) for reason in space.validate(sub))


def test_files_are_timed(parent, folder):
    profile, speed = time_in_llama_cpp(parent, folder, ElasticSpace.of(parent.arch, "G", steps=4), 8)
    whole = SubNetwork.whole(parent.arch)
    found = speed.metrics(whole)
    assert found["ttft_s"] > 0
    assert found["decode_tokens_per_second"] > 0
    assert profile.default_dtype == "int8"
    assert profile.memory_bandwidth > 0
    assert len(speed.prefill_s) == len(speed.decode_s) == 5
