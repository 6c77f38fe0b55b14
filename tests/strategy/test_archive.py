"""What a search remembers."""

import numpy as np

from mimar.objectives import losses
from mimar.strategy._archive import Archive
from mimar.testing import toy_problem
from mimar.trial import Proposal, Trial


def test_losses_stay_in_order_however_many_come_at_once():
    toy, rng = toy_problem(), np.random.default_rng(0)
    archs = [toy.problem.space.sample(rng) for _ in range(500)]
    trials = [Trial(i, Proposal(arch, "random"), "complete", toy.measure(arch)) for i, arch in enumerate(archs)]
    archive = Archive(toy.problem.objectives)
    expected = losses([trial.metrics for trial in trials], toy.problem.objectives)
    archive.add(trials[:3])
    early = archive.losses
    for begin, end in ((3, 200), (200, 201), (201, 500)):
        archive.add([*trials[begin:end], Trial(1000 + end, Proposal(archs[0], "random"), "failed")])
        assert np.array_equal(archive.losses, expected[:end])
    assert np.array_equal(early, expected[:3])
    assert [trial.id for trial in archive.complete] == list(range(500))
