"""Distillation: the loss it is, that a teacher helps, and that a training with one goes on bit by bit."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mimar.errors import InputError
from mimar.models import build
from mimar.training import Distillation, Recipe, train

RECIPE = Recipe(tokens=40 * 256, context_length=32, batch_tokens=256, learning_rate=0.01)
IDS = torch.arange(12).reshape(2, 6)


def logits(seed, vocab=16):
    return torch.randn(2, 6, vocab, generator=torch.Generator().manual_seed(seed))


def never():
    """The loss of a text that does not count."""
    raise AssertionError


def test_it_is_the_published_loss():
    teacher, student, text_loss = logits(0), logits(1), torch.tensor(3.0)
    p, q = (part / 2.0 for part in (teacher, student))
    divergence = (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1).mean()
    found = Distillation(lambda _: teacher, 0.3, 2.0).loss(student, IDS, lambda: text_loss)
    assert found == pytest.approx(0.7 * 3.0 + 0.3 * 4.0 * float(divergence))


@pytest.mark.parametrize("together", [1, 40, 10_000])
def test_its_gradient_is_that_of_its_definition(monkeypatch, together):
    """However many tokens are computed together, the last ones fewer than the others."""
    monkeypatch.setattr("mimar.training._distillation.AT_A_TIME", together)
    teacher, student = logits(0), logits(1).requires_grad_()
    found = Distillation(lambda _: teacher, 1.0, 1.7).loss(student, IDS, never)
    p, q = ((part / 1.7).log_softmax(-1) for part in (teacher, student))
    wanted = 1.7**2 * (p.exp() * (p - q)).sum(-1).mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(3.0 * wanted, student)
    (3.0 * found).backward()
    assert torch.allclose(student.grad, gradient, atol=1e-6)


@pytest.mark.parametrize("vocabularies", [(16, 20), (20, 16)])
def test_only_common_tokens_count(vocabularies):
    teacher, student = (logits(seed, vocab) for seed, vocab in enumerate(vocabularies))
    found = Distillation(lambda _: teacher, 1.0).loss(student, IDS, never)
    cut = F.kl_div(student[..., :16].log_softmax(-1), teacher[..., :16].softmax(-1), reduction="sum") / 12
    assert found == pytest.approx(float(cut), rel=1e-5)


def test_a_teacher_that_agrees_adds_nothing_and_learns_nothing():
    same = logits(3).requires_grad_()
    found = Distillation(lambda _: same, 1.0).loss(same, IDS, never)
    assert found.item() == pytest.approx(0.0, abs=1e-6)
    Distillation(lambda _: same * 2, 1.0).loss(logits(4).requires_grad_(), IDS, never).backward()
    assert same.grad is None


def test_a_student_comes_near_its_teacher(arch, data):
    """It has learnt another text, so that nothing else would lead there."""
    teacher = build(arch, generator=torch.Generator().manual_seed(9))
    train(teacher, replace(data, train=data.train[::-1].copy()), RECIPE)
    batch = torch.from_numpy(data.batch(0, 8, 32, 7))[:, :-1]

    def distance(taught):
        student = build(arch)
        train(student, data, RECIPE, teacher=Distillation(teacher.eval(), 1.0) if taught else None)
        with torch.no_grad():
            wanted, got = (model.eval()(batch).log_softmax(-1) for model in (teacher, student))
        return float(F.kl_div(got, wanted, reduction="batchmean", log_target=True))

    before = [parameter.clone() for parameter in teacher.parameters()]
    assert distance(True) < 0.5 * distance(False)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


def test_a_training_with_a_teacher_goes_on_bit_by_bit(arch, data, tmp_path):
    teacher = Distillation(build(arch, generator=torch.Generator().manual_seed(9)).eval())
    whole, again = build(arch), build(arch)
    train(whole, data, RECIPE, teacher=teacher)
    train(build(arch), data, RECIPE, teacher=teacher, folder=tmp_path, until=11)
    train(again, data, RECIPE, teacher=teacher, folder=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("weight", "temperature"), [(-0.1, 1.0), (1.1, 1.0), (0.5, 0.0), (0.5, float("inf"))])
def test_what_makes_no_sense(weight, temperature):
    with pytest.raises(InputError):
        Distillation(lambda ids: ids, weight, temperature)
