"""A sample of the space with a planted order, and judges that know it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mimar.proxies import DecoderSubject, ProxyInputs, adw
from mimar.proxies.judge import LLMJudge, Panel, fit_anchors
from mimar.space import TransformerSpace
from mimar.testing import ScriptedJudge

ANCHORS = 12


@pytest.fixture(scope="session")
def subjects():
    """Forty different networks."""
    rng, found = np.random.default_rng(0), {}
    while len(found) < 40:
        subject = DecoderSubject(TransformerSpace().sample(rng))
        found.setdefault(subject.description, subject)
    return list(found.values())


@pytest.fixture(scope="session")
def planted(subjects):
    """Description → the quality that training would show, as far as these tests go."""
    return {subject.description: adw(ProxyInputs(subject)) for subject in subjects}


@pytest.fixture
def knowing(planted):
    """A model that knows the planted order."""
    return ScriptedJudge(planted.__getitem__)


@pytest.fixture
def by_size():
    """A model that knows no more than that larger is better."""
    return ScriptedJudge(lambda description: float(re.search(r"([\d.]+)M without embeddings", description)[1]))


@pytest.fixture
def fitted(subjects):
    """LLM → a judge whose 12 anchors it ranked."""

    def make(llm, seed=0):
        panel = Panel(llm, "All are trained alike.", seed)
        return LLMJudge(fit_anchors(panel, subjects[:ANCHORS]), panel)

    return make
