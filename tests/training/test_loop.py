"""The loop: it learns, its parts add up, it goes on bit by bit, and it says what went wrong."""

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mimar.errors import CandidateError, ForeignFileError, InputError, MimarError, StorageFullError
from mimar.models import build
from mimar.training import Habits, Recipe, TokenData, train, validation_loss

RECIPE = Recipe(tokens=60 * 256, context_length=32, batch_tokens=256, learning_rate=0.01)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_what_a_count_of_bytes_cannot(model, data):
    before = validation_loss(model, data.validation_batches(10_000, 8, 32))
    result = train(model, data, RECIPE)
    counts = np.asarray(list(Counter(data.validation.tolist()).values())) / len(data.validation)
    assert before == pytest.approx(math.log(256), rel=0.02)
    assert result.validation_loss < -np.sum(counts * np.log(counts)) / 2
    assert result.validation_loss == validation_loss(model, data.validation_batches(131_072, 8, 32))
    assert result.bits_per_byte == pytest.approx(result.validation_loss / math.log(2))
    assert result.tokens == 60 * 256
    assert [row["step"] for row in result.rows] == [10, 20, 30, 40, 50, 60]
    assert result.rows[-1]["train_loss"] < result.rows[0]["train_loss"]


def test_two_passes_give_the_gradient_of_one(arch, data):
    models = [build(arch), build(arch)]
    for model, micro_batch in zip(models, (0, 3), strict=True):
        train(model, data, replace(RECIPE, tokens=4 * 256, micro_batch=micro_batch))
    one, other = map(weights, models)
    assert not same(one, weights(build(arch)))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-5)


def test_validations_and_checkpoints_change_nothing(arch, data, tmp_path):
    plain, watched = build(replace(arch, dropout=0.3)), build(replace(arch, dropout=0.3))
    state = torch.get_rng_state()
    train(plain, data, replace(RECIPE, tokens=20 * 256))
    assert torch.equal(torch.get_rng_state(), state)
    habits = Habits(validate_at=range(3, 20, 3), log_every=1, save_every=0.0)
    result = train(watched, data, replace(RECIPE, tokens=20 * 256), folder=tmp_path, habits=habits)
    assert same(weights(plain), weights(watched))
    assert [row["step"] for row in result.rows if "validation_loss" in row] == [3, 6, 9, 12, 15, 18, 20]


def test_half_precision_comes_near(arch, data):
    result = train(build(arch), data, replace(RECIPE, precision="bfloat16"))
    assert result.validation_loss == pytest.approx(train(build(arch), data, RECIPE).validation_loss, rel=0.2)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from mimar.models import build
from mimar.space import architecture_from_json
from mimar.training import ByteTokenizer, Habits, Recipe, TokenData, train
import json

arch, recipe, text, folder = json.loads(sys.stdin.read())
torch.set_num_threads(1)

def kill(row):
    if row["step"] == 23:
        os.kill(os.getpid(), signal.SIGKILL)

model = build(architecture_from_json(arch))
data = TokenData.of([text], [], ByteTokenizer())
recipe["betas"] = tuple(recipe["betas"])
habits = Habits(log_every=1, validate_at=range(7, 40, 7), save_every=0.0)
train(model, data, Recipe(**recipe), folder=Path(folder), habits=habits, on_row=kill)
"""


def test_a_killed_training_goes_on_bit_by_bit(arch, data, text, tmp_path):
    import json

    from mimar.space import architecture_to_json

    arch = replace(arch, dropout=0.2)
    recipe = replace(RECIPE, tokens=40 * 256)
    given = json.dumps([architecture_to_json(arch), recipe.to_json(), text, str(tmp_path)])
    done = subprocess.run([sys.executable, "-c", KILLED], input=given, text=True, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    habits, threads = Habits(log_every=1, validate_at=range(7, 40, 7), save_every=0.0), torch.get_num_threads()
    torch.set_num_threads(1)
    seen = []
    again, never = build(arch), build(arch)
    resumed = train(again, data, recipe, folder=tmp_path, habits=habits, on_row=seen.append)
    whole = train(never, data, recipe, habits=habits)
    torch.set_num_threads(threads)
    assert seen[0]["step"] == 23
    assert same(weights(again), weights(never))
    without_time = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in result.rows]
        for result in (resumed, whole)
    ]
    assert without_time[0] == without_time[1]
    assert resumed.validation_loss == whole.validation_loss


def test_a_finished_training_is_only_read_back(arch, data, tmp_path):
    first, again = build(arch), build(arch, generator=torch.Generator().manual_seed(9))
    one = train(first, data, RECIPE, folder=tmp_path)
    other = train(again, data, RECIPE, folder=tmp_path, on_row=lambda _: pytest.fail("trained anew"))
    assert same(weights(first), weights(again))
    assert other.validation_loss == one.validation_loss


def test_a_checkpoint_of_another_training_is_refused(arch, model, data, tmp_path):
    train(model, data, replace(RECIPE, tokens=256), folder=tmp_path, identity={"data": ["a.txt"]})
    with pytest.raises(InputError, match=r"another training \(data, recipe differ\)"):
        train(build(arch), data, RECIPE, folder=tmp_path, identity={"data": ["b.txt"]})


@pytest.mark.parametrize("content", [b"", b"notes", b"PK\x03\x04 half of an archive"])
def test_a_damaged_checkpoint_is_refused(model, data, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ForeignFileError, match=r"checkpoint\.pt"):
        train(model, data, RECIPE, folder=tmp_path)


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_checkpoint_runs(model, data, tmp_path):
    torch.save({"step": Trap(tmp_path / "sprung")}, tmp_path / "checkpoint.pt")
    with pytest.raises(ForeignFileError, match=r"checkpoint\.pt"):
        train(model, data, RECIPE, folder=tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_is_refused_wherever_it_is_cut_or_overwritten(arch, data, tmp_path):
    """Or it is whole: some bytes of the archive say nothing."""
    train(build(arch), data, RECIPE, folder=tmp_path, until=10)
    file, rng = tmp_path / "checkpoint.pt", np.random.default_rng(0)
    whole, refused = file.read_bytes(), 0
    for turn in range(60):
        at = int(rng.integers(0, len(whole)))
        file.write_bytes(whole[:at] if turn % 2 else whole[:at] + rng.bytes(64) + whole[at + 64 :])
        try:
            train(build(arch), data, RECIPE, folder=tmp_path, until=10)
        except MimarError as error:
            refused += "checkpoint.pt" in str(error)
    assert refused >= 30  # all those that were cut


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_is_said_and_the_old_checkpoint_stays(arch, model, data, tmp_path):
    train(model, data, RECIPE, folder=tmp_path, until=10)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / ".checkpoint.pt.new").symlink_to("/dev/full")
    with pytest.raises(StorageFullError, match="no room left"):
        train(build(arch), data, RECIPE, folder=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.pt"]


def test_a_checkpoint_beyond_the_step_that_is_wanted_is_refused(arch, model, data, tmp_path):
    train(model, data, RECIPE, folder=tmp_path, until=20)
    with pytest.raises(InputError, match="of step 20, beyond step 10"):
        train(build(arch), data, RECIPE, folder=tmp_path, until=10)


def test_a_checkpoint_at_the_step_that_is_wanted_is_validated(arch, model, data, tmp_path):
    """It was kept on the way to a later one, without."""

    def stop(row):
        if row["step"] == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, data, RECIPE, folder=tmp_path, habits=Habits(log_every=1, save_every=0.0), on_row=stop)
    found = train(build(arch), data, RECIPE, folder=tmp_path, until=5)
    assert found.validation_loss == train(build(arch), data, RECIPE, until=5).validation_loss


def test_a_loss_that_is_no_number_ends_the_training_in_a_sentence(model, data):
    with torch.no_grad():
        model.embedding.weight[0, 0] = float("nan")
    with pytest.raises(CandidateError, match="the loss is nan after 10 steps"):
        train(model, data, RECIPE)


def test_a_validation_that_is_no_number_does_too(model, data):
    with pytest.raises(CandidateError, match="the loss is nan after 2 steps"):
        train(model, data, replace(RECIPE, tokens=2 * 256, learning_rate=1e25))


def test_a_lack_of_memory_ends_it_in_a_sentence(data):
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 2))

        def forward(self, ids):
            raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    with pytest.raises(
        CandidateError, match="not enough memory for the training; try a smaller micro_batch: tried to allocate 20 GiB"
    ):
        train(Greedy(), data, RECIPE)


def test_a_text_that_is_too_short_is_refused_before_a_step(model):
    short = TokenData(np.zeros(10, dtype=np.int32), np.zeros(100, dtype=np.int32), 256, 1.0)
    with pytest.raises(InputError, match="the text has 10 tokens"):
        train(model, short, RECIPE)
