"""`llm-judge` in a study: what is fixed when it starts, what is said of it, and the score that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimar.cli._output import say
from mimar.errors import InputError, LLMError, ReplayError
from mimar.llm import LLM
from mimar.proxies import (
    RZ_NAS_MEMBERS,
    DecoderSubject,
    ProxyInputs,
    Standardiser,
    adw,
    member_scores,
    rz_nas_ensemble,
)
from mimar.proxies.judge import (
    JUDGE,
    Anchors,
    JudgeWeight,
    LLMJudge,
    Panel,
    decoder_setting,
    fit_anchors,
    judge_weight,
)
from mimar.space import Architecture, architecture_to_json

NEEDS_LLM = f"score {JUDGE} needs a language model: add --llm local, or a provider"


def judge_data(drawn: Sequence[Architecture], seed: int, llm: LLM | None) -> dict[str, Any]:
    """`score_data` of the judge: its anchors, made of `drawn`, and how it asks.

    Raises InputError without an LLM or with too few different architectures, LLMError where the LLM ranks nothing.
    """
    if llm is None:
        raise InputError(NEEDS_LLM)
    panel = _panel(drawn, seed, llm)
    anchors = fit_anchors(panel, [DecoderSubject(arch) for arch in drawn])
    say(f"{JUDGE}: {_told(panel, anchors)}")
    if anchors.consistency is None or anchors.chance is None or anchors.consistency <= anchors.chance:
        say(f"note: {llm.name} does not rank better than chance here; its score means little, adw needs no model")
    return {"judge": _to_json(panel, anchors, drawn)}


def ensemble_data(drawn: Sequence[Architecture], seed: int, llm: LLM | None) -> dict[str, Any]:
    """`score_data` of the ensemble: its sample and, with an LLM, the judge with the weight that it earns.

    Its weight is 0, with the reason, where the LLM ranks nothing, ranks like chance or fails.
    """
    scores = member_scores(RZ_NAS_MEMBERS, drawn, seed)
    if llm is None:
        return {"reference": Standardiser.of(scores).to_json()}
    panel = _panel(drawn, seed, llm)
    try:
        anchors = fit_anchors(panel, [DecoderSubject(arch) for arch in drawn])
    except ReplayError:
        raise
    except (InputError, LLMError) as error:
        weight, found = JudgeWeight(0.0, str(error)), {}
    else:
        weight, found = _earned(anchors, drawn, seed, scores), _to_json(panel, anchors, drawn)
        known = dict(zip(anchors.descriptions, anchors.strengths, strict=True))
        scores |= {JUDGE: [known[DecoderSubject(arch).description] for arch in drawn]}
    say(f"{JUDGE} joins the ensemble with the weight {weight.weight:.2f} of 1: {weight.reason}")
    return {"reference": Standardiser.of(scores).to_json(), "judge": {**found, "weight": weight.to_json()}}


def judge_named(data: Mapping[str, Any], llm: LLM | None) -> LLMJudge:
    """The judge of `judge_data`; without an LLM it knows its anchors alone."""
    stored = data["judge"]
    panel = None if llm is None else Panel(llm, stored["setting"], stored["seed"], stored["repeats"])
    return LLMJudge(Anchors.from_json(stored), panel)


def judge_and_weight(data: Mapping[str, Any], llm: LLM | None) -> tuple[LLMJudge | None, float]:
    """The judge of `ensemble_data` and its weight; None and 0 where it has none."""
    weight = JudgeWeight.from_json(data["judge"]["weight"]).weight if "judge" in data else 0.0
    return (judge_named(data, llm), weight) if weight > 0 else (None, 0.0)


def judge_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored about the judge of a study, for people: its anchors' number and agreement, and its weight."""
    stored = data.get("judge", {})
    facts: dict[str, Any] = {}
    if "anchors" in stored:
        facts["anchors"] = len(stored["anchors"])
        facts |= {f"anchors_{name}": stored[name] for name in ("self_consistency", "chance")}
    return facts | ({"weight": stored["weight"]} if "weight" in stored else {})


def _panel(drawn: Sequence[Architecture], seed: int, llm: LLM) -> Panel:
    return Panel(llm, decoder_setting(drawn[0].context_length), seed)


def _to_json(panel: Panel, anchors: Anchors, drawn: Sequence[Architecture]) -> dict[str, Any]:
    data = anchors.to_json()
    shapes = {DecoderSubject(arch).description: architecture_to_json(arch) for arch in drawn}
    listed = [{**entry, "architecture": shapes[entry["description"]]} for entry in data["anchors"]]
    return {**data, "anchors": listed, "setting": panel.setting, "seed": panel.seed, "repeats": panel.repeats}


def _told(panel: Panel, anchors: Anchors) -> str:
    agreement = "" if anchors.consistency is None else f", self-consistency τ {anchors.consistency:.2f}"
    chance = "" if anchors.chance is None else f" (chance reaches {anchors.chance:.2f})"
    return f"{panel.llm.name} ranked {len(anchors.strengths)} anchors {anchors.answers} times{agreement}{chance}"


def _earned(
    anchors: Anchors, drawn: Sequence[Architecture], seed: int, scores: Mapping[str, Sequence[float]]
) -> JudgeWeight:
    """The judge's weight by the order of the other members and of the default score, which sees the shapes alone."""
    others = rz_nas_ensemble(Standardiser.of(scores))
    index = {DecoderSubject(arch).description: i for i, arch in enumerate(drawn)}
    rows = [index[description] for description in anchors.descriptions]
    pairs = list(zip(others.members, others.weights, strict=True))
    together = [sum(w * others.standardiser.z(m.name, scores[m.name][row]) for m, w in pairs) for row in rows]
    inputs = [ProxyInputs(DecoderSubject(drawn[row]), seed) for row in rows]
    sizes = [float(each.shapes.nonembedding_params) for each in inputs]
    return judge_weight(anchors, {"the other members": together, adw.name: [adw(each) for each in inputs]}, sizes)
