"""Architecture, and its weights where it was trained → a Hugging Face checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimar.errors import ArchitectureError
from mimar.export._publish import ExportResult, publish, weights_written
from mimar.export._tokenizer import copy_tokenizer, read_tokenizer
from mimar.space import Architecture, architecture_to_json, illegal_reasons

if TYPE_CHECKING:
    from torch import Tensor

LOAD_HF = """
from transformers import AutoModelForCausalLM, AutoTokenizer

(trust, with_tokenizer) = (argument == "yes" for argument in arguments)
model, report = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=trust, output_loading_info=True)
wrong = {name: sorted(map(str, keys)) for name, keys in report.items() if keys}
if wrong:
    raise SystemExit(f"the weights do not match the model: {wrong}")
with torch.no_grad():
    logits = model.eval()(input_ids=tokens).logits
plainly = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "return_dict_in_generate": False}
written = model.generate(tokens[:, :4], max_new_tokens=2, min_new_tokens=2, **plainly)
if written.shape != (1, min(4, tokens.shape[1]) + 2):
    raise SystemExit(f"generate gave the shape {tuple(written.shape)}")
if with_tokenizer:
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust)
    if max(tokenizer("a b")["input_ids"], default=0) >= model.config.vocab_size:
        raise SystemExit("the tokenizer gives ids beyond the vocabulary of the model")
"""


def export_hf(
    arch: Architecture,
    directory: Path,
    *,
    seed: int = 0,
    weights: Path | None = None,
    tokenizer: Path | None = None,
) -> ExportResult:
    """Write a checkpoint that ``AutoModelForCausalLM.from_pretrained(directory)`` loads.

    weights: the model.safetensors of a training; without, they are random, from `seed`.

    An architecture of a stock family (llama, mistral, mixtral, arcee) needs no code of ours. Any other gets
    modeling_mimar.py and configuration_mimar.py beside it, and loads with ``trust_remote_code=True``; the verdict says
    which. Weights are float32 safetensors. tokenizer: a tokenizer.json or a directory with one; its files are copied,
    its special tokens end up in the configuration. A fresh process loads all of it, must give the logits of the
    reference module, and writes two tokens. `InputError`: a tokenizer or a directory that cannot be used.
    `ArchitectureError`: `arch` is not legal. `ExportError`: it does not reload to the same model.
    """
    if reasons := illegal_reasons(arch):
        raise ArchitectureError("cannot export an illegal architecture", reasons)
    special = {} if tokenizer is None else read_tokenizer(tokenizer, arch.vocab_size)

    def write(aside: Path) -> dict[str, str]:
        from mimar.export._reload import Expected, check_logits
        from mimar.models import MODEL_CLASSES, stock_family

        family = stock_family(arch)
        expected = Expected.of(arch, seed, weights)
        with weights_written():
            (_write_custom if family is None else _write_stock)(arch, expected.state, special, aside)
        if tokenizer is not None:
            copy_tokenizer(tokenizer, aside)
        flags = tuple("yes" if flag else "no" for flag in (family is None, tokenizer is not None))
        verdict = check_logits(LOAD_HF, aside, flags, expected)
        name = "MimarForCausalLM, with trust_remote_code=True" if family is None else MODEL_CLASSES[family]
        return {"transformers": f"ok: loads as {name}; {verdict}"}

    return publish(arch, directory, "hf", write)


def _write_stock(arch: Architecture, state: Mapping[str, Tensor], special: dict[str, int], aside: Path) -> None:
    from mimar.models import to_hf_config, to_hf_state_dict

    write_stock({**to_hf_config(arch), **special}, to_hf_state_dict(arch, state), aside)


def write_stock(config: Mapping[str, Any], state: Mapping[str, Tensor], aside: Path) -> None:
    """config.json, generation_config.json and model.safetensors, as transformers itself lays them out.

    state: under the names of transformers; a tied head need not be listed.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known = AutoConfig.for_model(**{**config, "dtype": torch.float32})
    with torch.device("meta"):  # All weights are replaced, none needs to be drawn.
        model = AutoModelForCausalLM.from_config(known)
    head = {"lm_head.weight": state["model.embed_tokens.weight"]} if known.tie_word_embeddings else {}
    model.load_state_dict({**state, **head}, strict=True, assign=True)
    model.tie_weights()
    with _quiet():
        model.save_pretrained(aside)
    _name_rope_as_before(aside / "config.json")


def _name_rope_as_before(file: Path) -> None:
    """Also outside of ``rope_parameters``, where transformers 4 and tools like it look for the base, and take 10,000
    without a word where they find none.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    rope = dict(config["rope_parameters"])
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] != "default":
        config["rope_scaling"] = rope
    _write_json(file, config)


def _write_custom(arch: Architecture, state: Mapping[str, Tensor], special: dict[str, int], aside: Path) -> None:
    """The same files and the modelling code; weights keep our own names."""
    from safetensors.torch import save_file

    from mimar.models import CONFIGURATION_CODE, generate_modeling_code

    (aside / "modeling_mimar.py").write_text(generate_modeling_code(arch), encoding="utf-8")
    (aside / "configuration_mimar.py").write_text(CONFIGURATION_CODE, encoding="utf-8")
    _write_json(aside / "config.json", _custom_config(arch) | special)
    _write_json(aside / "generation_config.json", {"use_cache": False, **special})
    save_file(dict(state), aside / "model.safetensors", metadata={"format": "pt"})


def _custom_config(arch: Architecture) -> dict[str, Any]:
    return {
        "model_type": "mimar",
        "architectures": ["MimarForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_mimar.MimarConfig",
            "AutoModelForCausalLM": "modeling_mimar.MimarForCausalLM",
        },
        "vocab_size": arch.vocab_size,
        "hidden_size": arch.hidden_size,
        "num_hidden_layers": arch.num_layers,
        "max_position_embeddings": arch.context_length,
        "tie_word_embeddings": arch.tied_embeddings,
        "initializer_range": 0.02,
        "dtype": "float32",
        "use_cache": False,
        "architecture": architecture_to_json(arch),
    }


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of transformers meanwhile."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
