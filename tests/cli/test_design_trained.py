"""`mimar design` with a trained loss as an objective, on a text small enough to train on within seconds."""

from pathlib import Path

import pytest

TEXT = "the cat sat on the mat. a dog ran after the cat. " * 400
OPTIONS = (
    "--device", "laptop-cpu", "--ctx", 64, "--only", "num_layers=4,5", "--only", "hidden_size=256", "--only",
    "mixer=attention", "--max-params", "6M", "--objectives", "loss@2k,decode_tokens_per_second",
    "--batch-tokens", 256, "--strategy", "nsga2", "--gates", "score:3,predictor:1.5,25%:2",
    "--study", "study.db", "--json",
)  # fmt: skip


@pytest.fixture(autouse=True)
def text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)


def test_gates_are_counted_and_only_whole_trainings_are_results(mimar, tmp_path) -> None:
    left = tmp_path / "study.db.paused-trainings"  # by a search that was killed
    (left / "0123").mkdir(parents=True)
    result = mimar("design", *OPTIONS, "--data", "text.txt", "--trials", 3).json
    assert not left.exists()
    counts = {row["gate"]: (row["came"], row["passed"]) for row in result["gates"]}
    assert list(counts) == ["in budget", "score", "predictor", "25%", "full"]
    assert counts["score"] == (27, 9)
    assert counts["predictor"] == (9, 6)
    assert counts["25%"] == (6, 3)
    assert counts["full"] == (3, 3)
    assert (result["trials"], result["partial"], result["failed"]) == (3, 33, 0)
    assert result["evaluations"] == {"score": 27, "25%": 6, "full": 3}
    assert "score 27, 25% 6, full 3" in mimar("show", "study.db").out
    assert result["objectives"] == ["loss@2k_tokens", "decode_tokens_per_second"]
    assert all(0 < member["metrics"]["loss@2k_tokens"] < 5.6 for member in result["front"])
    assert sum(row["proposed"] for row in result["operators"].values()) == 27

    more = mimar("design", "--study", "study.db", "--resume", "--trials", 4, "--json").json
    assert more["trials"] == 4
    assert mimar("show", "study.db", "--json").json["front"] == more["front"]
    page = mimar("report", "study.db", "--json").json["path"]
    told = Path(page).read_text()
    assert "validation loss" in told
    assert "0 failed; at each gate: score " in told
    assert f"0% of {sum(row['proposed'] for row in more['operators'].values())} proposals" in told


@pytest.mark.parametrize("gates", ["50%:2,25%:2", "100%:2", "10%:2,width=0.5:2,10%:2"])
def test_trainings_of_later_gates_must_be_longer(mimar, gates) -> None:
    options = (*OPTIONS, "--data", "text.txt", "--trials", 2)
    mimar("design", *options, "--gates", gates).refused(2, "the first must be the shorter one")


@pytest.mark.slow
@pytest.mark.parametrize("gates", ["score:3,25%:2", "score:2,one-shot:2"])
def test_trainings_in_processes_give_the_same_trials(mimar, gates) -> None:
    options = (*OPTIONS, "--data", "text.txt", "--trials", 2, "--gates", gates)
    serial = mimar("design", *options).json
    shared = mimar("design", *options, "--study", "shared.db", "--executor", "process", "--workers", 2).json
    for result in (serial, shared):
        assert (result["trials"], result["failed"]) == (2, 0)
    assert [row["architecture"] for row in shared["front"]] == [row["architecture"] for row in serial["front"]]
    assert [row["metrics"] for row in shared["front"]] == [row["metrics"] for row in serial["front"]]
    assert shared["gates"] == serial["gates"]


def test_without_gates_every_candidate_is_trained(mimar) -> None:
    result = mimar("design", *OPTIONS, "--data", "text.txt", "--trials", 2, "--gates", "none").json
    assert (result["trials"], result["partial"]) == (2, 0)
    assert "gates" not in result


def test_a_gate_of_shared_weights(mimar) -> None:
    gates = ("--gates", "score:2,one-shot:2", "--data", "text.txt")
    result = mimar("design", *OPTIONS, *gates, "--trials", 2).json
    counts = {row["gate"]: (row["came"], row["passed"]) for row in result["gates"]}
    assert counts == {"in budget": (8, 8), "score": (8, 4), "one-shot": (4, 2), "full": (2, 2)}


def test_darts_tells_its_strengths_and_goes_on(mimar) -> None:
    darts = ("--strategy", "darts", "--gates", "none", "--data", "text.txt", "--only", "feed_forward=none,swiglu,ffn")
    first = mimar("design", *OPTIONS, *darts, "--trials", 1)
    epochs = first.json["operation_strengths"]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert sum(epochs[0]["feed_forward"][0].values()) == pytest.approx(1.0)
    assert f"darts, epoch {len(epochs)}: loss" in first.err
    assert set(first.json["operators"]) == {"darts"}
    more = mimar("design", "--study", "study.db", "--resume", "--trials", 2, "--json").json
    assert more["operation_strengths"] == epochs
    assert more["trials"] == 2


def test_darts_needs_text(mimar) -> None:
    mimar("design", "--strategy", "darts", "--trials", 1).refused(2, "darts", "--data")


def test_a_weight_may_name_the_loss_as_the_objective_does(mimar) -> None:
    weighted = ("--strategy", "scalarised", "--weights", "loss@2k=3", "--gates", "none", "--data", "text.txt")
    assert mimar("design", *OPTIONS, *weighted, "--trials", 1).json["trials"] == 1


def test_a_changed_text_is_noticed(mimar, tmp_path: Path) -> None:
    assert mimar("design", *OPTIONS, "--data", "text.txt", "--trials", 1, "--gates", "none").code == 0
    (tmp_path / "text.txt").write_text(TEXT.upper())
    mimar("design", "--study", "study.db", "--resume", "--trials", 2).refused(2, "text of the study has changed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "gone.txt"), ("gone.txt",)),
        (("--data", "empty.txt"), ("empty.txt", "text")),
        (("--data", "binary.txt"), ("binary.txt", "UTF-8")),
        (("--data", "short.txt"), ("tokens", "sequence")),
        ((), ("--data",)),
        (("--data", "text.txt", "--gates", "score"), ("--gates", "FIDELITY:FACTOR")),
        (("--data", "text.txt", "--gates", "heads=0.5:2"), ("fidelity", "heads")),
        (("--data", "text.txt", "--gates", "predictor:2"), ("before it",)),
        (("--data", "text.txt", "--gates", "10%:0.5"), ("at least 1",)),
        (("--data", "text.txt", "--gates", "score:2,data=0.01%:2"), ("--gates data=0.01%:2", "sequence")),
        (("--data", "text.txt", "--vocab", 300), ("--vocab 300", "256")),
        (("--data", "text.txt", "--objectives", "loss@lots"), ("loss@lots",)),
        (("--data", "text.txt", "--objectives", "loss@2k,loss@4k"), ("one objective",)),
        (("--data", "text.txt", "--objectives", "score"), ("loss@200k",)),
        (("--data", "text.txt", "--train-on", "tpu"), ("auto, cpu or cuda",)),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(mimar, tmp_path: Path, options, words) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "short.txt").write_text("too short")
    mimar("design", *OPTIONS, *options, "--trials", 1).refused(2, *words)
    assert not (tmp_path / "study.db").exists()
