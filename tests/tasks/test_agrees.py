"""lm-evaluation-harness itself asks and scores the same items; runs where it is installed (`pip install lm-eval`)."""

import json
from pathlib import Path

import pytest

from mimar.tasks import TASKS, read_items, requests, score

THEIRS = {
    "arc_easy": ("arc/arc_easy.yaml", "test"),
    "arc_challenge": ("arc/arc_challenge.yaml", "test"),
    "mmlu": ("mmlu/default/mmlu_{}.yaml", "test"),
    "truthfulqa": ("truthfulqa/truthfulqa_mc1.yaml", "validation"),
    "winogrande": ("winogrande/default.yaml", "validation"),
}


def document(name, item):
    """An item as the harness's own data set has it."""
    if name.startswith("arc"):
        labels = list("ABCDE"[: len(item.choices)])
        choices = {"text": list(item.choices), "label": labels}
        return {"question": item.question, "choices": choices, "answerKey": labels[item.answer]}
    if name == "mmlu":
        return {"question": item.question, "choices": list(item.choices), "answer": item.answer}
    if name == "truthfulqa":
        return {"question": item.question, "mc1_targets": {"choices": list(item.choices)}}
    first, second = item.choices
    return {"sentence": item.question, "option1": first, "option2": second, "answer": str(item.answer + 1)}


def evaluated(name, items, folder, model):
    """What the harness says of the items: its own task file, its data replaced by ours."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    file, split = THEIRS[name]
    subject = items[0].subject
    data = folder / f"{name}{subject}.jsonl"
    data.write_text("".join(json.dumps(document(name, item)) + "\n" for item in items), encoding="utf-8")
    own = folder / f"tasks_{name}{subject}"
    own.mkdir()
    config = {
        "include": str(Path(lm_eval.__file__).parent / "tasks" / file.format(subject)),
        "task": f"own_{name}",
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(data)}, "cache_dir": str(folder / "cache")},
        "training_split": None,
        "validation_split": None,
        "fewshot_split": None,
        "test_split": None,
        "tag": None,
    }
    (own / "own.yaml").write_text(json.dumps({**config, f"{split}_split": split}), encoding="utf-8")  # JSON is YAML
    manager = TaskManager(include_path=str(own), include_defaults=False)
    done = lm_eval.simple_evaluate(
        model=model, tasks=[f"own_{name}"], num_fewshot=0, task_manager=manager, log_samples=True, bootstrap_iters=100
    )
    samples = sorted(done["samples"][f"own_{name}"], key=lambda sample: sample["doc_id"])
    texts = [tuple(map(tuple, sample["arguments"])) for sample in samples]
    return done["results"][f"own_{name}"], texts


def make_model(encode, likelihood):
    from lm_eval.api.model import TemplateLM

    class Hashed(TemplateLM):
        """Keeps the tokens it is asked; answers with a hash of them."""

        backend = "causal"
        eot_token_id = 0

        def __init__(self):
            super().__init__()
            self.asked = []

        def tok_encode(self, string, add_special_tokens=None, **_):
            return encode(string)

        def _loglikelihood_tokens(self, requests, **_):
            self.asked += [(tuple(context), tuple(continuation)) for _, context, continuation in requests]
            return [(likelihood(context, continuation), False) for _, context, continuation in requests]

        def loglikelihood_rolling(self, requests, **_):
            raise NotImplementedError

        def generate_until(self, requests, **_):
            raise NotImplementedError

    return Hashed()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TASKS)
def test_agrees_with_lm_eval(name, data_folder, tokenizer, hashed, loglikelihoods):
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    read = read_items(name, data_folder)
    for subject in dict.fromkeys(item.subject for item in read.items):
        items = tuple(item for item in read.items if item.subject == subject)
        model = make_model(tokenizer, hashed)
        results, texts = evaluated(name, items, data_folder, model)
        asked = requests(read.task, items, tokenizer)
        assert texts == [read.task.prompts(item) for item in items]
        assert model.asked == [(request.context, request.continuation) for own in asked for request in own]
        got = score(read.task, items, asked, loglikelihoods)
        assert got.accuracy == pytest.approx(results["acc,none"], abs=1e-12)
        assert got.accuracy_error == pytest.approx(results["acc_stderr,none"], abs=1e-12)
        assert (got.headline == "normalised") == ("acc_norm,none" in results)
        assert got.normalised == pytest.approx(results.get("acc_norm,none", got.accuracy), abs=1e-12)
        assert got.normalised_error == pytest.approx(results.get("acc_norm_stderr,none", got.accuracy_error), abs=1e-12)
