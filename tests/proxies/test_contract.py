"""Every proxy keeps the contract; none can be forgotten."""

import functools
import importlib
import pickle
import pkgutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import mimar.proxies
from mimar.proxies import (
    PROXIES,
    RZ_NAS_MEMBERS,
    DecoderSubject,
    Proxy,
    Score,
    decoder_inputs,
    fit_standardiser,
    rz_nas_ensemble,
)
from mimar.proxies.judge import LLMJudge, Panel, fit_anchors
from mimar.testing import ScriptedJudge
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES, check_proxy

SAMPLE = list(PROBE_ARCHITECTURES.values())[:6]


def judge() -> LLMJudge:
    """One whose model ranks by length of description, and that knows all probes, so that copies know them too."""
    panel = Panel(ScriptedJudge(len), "All are trained alike.")
    made = LLMJudge(fit_anchors(panel, [DecoderSubject(arch) for arch in SAMPLE]), panel)
    made.prepare([DecoderSubject(arch) for arch in PROBE_ARCHITECTURES.values()])
    return made


@functools.cache
def every_proxy() -> list[Proxy]:
    member = judge()
    plain = rz_nas_ensemble(fit_standardiser(RZ_NAS_MEMBERS, SAMPLE, seed=0))
    joined = rz_nas_ensemble(fit_standardiser((*RZ_NAS_MEMBERS, member), SAMPLE, seed=0), member, 0.5)
    return [*PROXIES, plain, member, replace(joined, name="rz_nas_ensemble_with_judge")]


@pytest.mark.parametrize("proxy", every_proxy(), ids=lambda proxy: proxy.name)
def test_contract(proxy):
    check_proxy(proxy)


def draws(inputs):
    return float(np.random.default_rng().random())


def moves_global_state(inputs):
    return float(np.random.random()) * 0


def builds(inputs):
    return float(sum(weight.numel() for weight in inputs.module.parameters()))


def changes_weights(inputs):
    inputs.module.norm.weight.data.mul_(2)
    return 1.0


def takes_data(inputs):
    return float(inputs.batch.shape[0]) if inputs.module else 0.0


@pytest.mark.parametrize(
    ("function", "need", "complaint"),
    [
        (draws, "shapes", "for the same inputs"),
        (moves_global_state, "shapes", "global random state"),
        (builds, "shapes", "needs shapes only"),
        (changes_weights, "weights", "changed norm.weight"),
        (takes_data, "weights", "uses data"),
        (lambda inputs: float("nan"), "shapes", "finite"),
        (lambda inputs: 3, "shapes", "expected a float"),
    ],
)
def test_contract_catches(function, need, complaint):
    bad = Score("bad", frozenset({need}), "weights", "test", function)
    with pytest.raises(AssertionError, match=complaint):
        check_proxy(bad)


@pytest.mark.parametrize("proxy", every_proxy(), ids=lambda proxy: proxy.name)
def test_survives_pickling(proxy):
    inputs = decoder_inputs(SAMPLE[0], batch_size=2, tokens=8)
    assert pickle.loads(pickle.dumps(proxy))(inputs) == proxy(inputs)


def test_list_is_complete():
    """Each score that any module of the package defines, and what each factory makes, is in the list by name."""
    found = {proxy.name for proxy in (mimar.proxies.zerolm(), mimar.proxies.zerolm_weights())}
    for info in pkgutil.iter_modules(mimar.proxies.__path__):
        module = importlib.import_module(f"mimar.proxies.{info.name}")
        found |= {value.name for value in vars(module).values() if isinstance(value, Score)}
    assert sorted(found) == sorted(proxy.name for proxy in PROXIES)
    exported = {name for name in mimar.proxies.__all__ if isinstance(getattr(mimar.proxies, name), Score)}
    assert exported == found - {"zerolm", "zerolm_weights"}


def test_exports_are_in_order():
    assert mimar.proxies.__all__ == sorted(mimar.proxies.__all__, key=lambda n: (not n.isupper(), n.islower(), n))


def test_import_and_closed_forms_need_no_torch():
    code = (
        "import sys; from mimar.proxies import PROXIES, decoder_inputs; from mimar.space import *;"
        "arch = Architecture(64, (Block(Mixer('attention', 4, 4, 16), FeedForward('ffn', 64, 'relu')),));"
        "[proxy(decoder_inputs(arch)) for proxy in PROXIES if proxy.needs == {'shapes'}];"
        "print([name for name in ('torch', 'scipy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_score_on_gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    for proxy in every_proxy():
        check_proxy(proxy, device="cuda")
        for label, arch in PROBE_ARCHITECTURES.items():
            on_cpu = proxy(decoder_inputs(arch, batch_size=4, tokens=12))
            on_gpu = proxy(decoder_inputs(arch, batch_size=4, tokens=12, device="cuda"))
            assert on_gpu == pytest.approx(on_cpu, rel=0.02), (proxy.name, label)
