"""What runs in the fresh process of `_llama_cpp`: one GGUF file, one question as JSON, one answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mimar.errors import InputError
from mimar.formats._gguf import read_gguf
from mimar.llm import start_server

ALL: Final = 1 << 20
"""Probabilities that are asked for where all are wanted."""

FORCED: Final = 1000.0
"""What is added to the logit of the token that the text has next; llama.cpp's probabilities are those before it."""


def _serve(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Speeds, or the loss of a text."""
    server = start_server(Path(asked["file"]), context=asked["context"], threads=1)
    if "speed" in asked:
        return _speed(server, **asked["speed"])
    return {"loss": _loss(server, asked["text"], _letter(Path(asked["file"])))}


def _speed(server: Any, prompt_tokens: int, tokens: int, readings: int) -> dict[str, list[dict[str, float]]]:
    prompt = [100 + number % 100 for number in range(prompt_tokens)]
    request = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
    server.handle_completions({**request, "n_predict": 1})  # the first one reads the file from the disk
    timings = [_completed(server, request)["timings"] for _ in range(readings)]
    return {
        "readings": [
            {
                "prefill_tokens_per_second": each["prompt_per_second"],
                "decode_tokens_per_second": each["predicted_per_second"],
            }
            for each in timings
        ]
    }


def _completed(server: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    reply = server.handle_completions(request)
    if "choices" not in reply:
        raise InputError(f"llama.cpp refused: {reply}")
    return reply


def _loss(server: Any, sequences: Sequence[Sequence[int]], letter: int) -> float:
    """letter: a token that is one, which can be written after anything."""
    total = 0.0
    for ids in sequences:
        for length in range(1, len(ids)):
            before, wanted = ids[:length], ids[length]
            said = _written(server, before, wanted, 1)
            if not said:  # half a character, or the end of a text: looked up among all the others
                said = [
                    each for each in _written(server, before, letter, ALL)[0]["top_logprobs"] if each["id"] == wanted
                ]
            total -= said[0]["logprob"]
    return total / sum(len(ids) - 1 for ids in sequences)


def _written(server: Any, before: Sequence[int], wanted: int, probabilities: int) -> list[dict[str, Any]]:
    """What is said of the token `wanted`, which is forced after the tokens `before`; nothing where it is no text."""
    request = {
        "prompt": list(before), "n_predict": 1, "temperature": 0.0, "n_probs": probabilities, "cache_prompt": True,
        "logit_bias": [[wanted, FORCED]],
    }  # fmt: skip
    found = _completed(server, request)["choices"][0]["logprobs"]
    return [] if found is None else [each for each in found["content"] if each["id"] == wanted]


def _letter(file: Path) -> int:
    return list(read_gguf(file).keys["tokenizer.ggml.tokens"]).index("a")


if __name__ == "__main__":
    try:
        print(json.dumps(_serve(json.load(sys.stdin))), flush=True)
        os._exit(0)  # a server that is closed in order may wait for ever
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
