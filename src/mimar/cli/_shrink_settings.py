"""The settings of a `shrink` study as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimar.elastic import BlockScores, ElasticSpace, Form
from mimar.errors import InputError
from mimar.hardware import DeviceProfile, Workload, profile_from_json, profile_to_json
from mimar.objectives import Budget
from mimar.pareto import Reference
from mimar.shrink import LlamaCppSpeed
from mimar.space import architecture_from_json, architecture_to_json
from mimar.training import Precision

COMMAND = "shrink"


@dataclass(frozen=True)
class Texts:
    """What the search reads. calibration: sources as typed; sha256: of their tokens. tokens, judged, finals: how many
    set the order of channels, how many candidates are judged on, and the best of them once more; window: tokens in a
    row.
    """

    calibration: tuple[str, ...]
    tokens: int
    judged: int
    window: int
    sha256: str = ""
    finals: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data; `finals` is left out where there are none, as in studies from before there were any."""
        data = {**asdict(self), "calibration": list(self.calibration)}
        return data if self.finals else {name: value for name, value in data.items() if name != "finals"}


@dataclass(frozen=True)
class Asked:
    """Tasks that candidates are judged by, as typed, and how many items of each, None for all; sha256: of the items."""

    tasks: tuple[str, ...]
    items: int | None
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; `sha256` is left out where there is none, as in studies from before there was any."""
        data = {"tasks": list(self.tasks), "items": self.items}
        return {**data, "sha256": self.sha256} if self.sha256 else data


@dataclass(frozen=True)
class FineTune:
    """Of the super-network before the search; none where `tokens` is 0."""

    tokens: int
    learning_rate: float
    precision: Precision

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise InputError(f"--finetune-rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class ShrinkSettings:
    """Everything that decides a study's trials.

    fingerprint: of the weights of `model`. speed: of llama.cpp, where that is the device. scores: of its parts,
    measured before the search; reference: the frame of the hypervolume, in losses; both None in settings that are not a
    study's yet. learnt: what is said of the fine-tune, where there was one. writes: the export form that suits its
    sub-networks. command: how the study was started.
    """

    model: str
    fingerprint: str
    space: ElasticSpace
    texts: Texts
    profile: DeviceProfile
    workload: Workload
    speed: LlamaCppSpeed | None
    budgets: tuple[Budget, ...]
    objectives: tuple[str, ...]
    asked: Asked
    strategy: str
    weights: Mapping[str, float]
    arm: str
    llm: str
    anonymise: bool
    seed: int
    finetune: FineTune
    learnt: Mapping[str, Any] | None
    scores: BlockScores | None
    reference: Reference | None
    writes: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        space = self.space
        return {
            "kind": COMMAND,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "space": {
                "parent": architecture_to_json(space.parent),
                "form": space.form,
                "kv_heads": [list(sizes) for sizes in space.kv_heads],
                "intermediate": [list(sizes) for sizes in space.intermediate],
            },
            "texts": self.texts.to_json(),
            "device": profile_to_json(self.profile),
            "workload": asdict(self.workload),
            "speed": self.speed and asdict(self.speed),
            "budgets": [asdict(budget) for budget in self.budgets],
            "objectives": list(self.objectives),
            "asked": self.asked.to_json(),
            "strategy": self.strategy,
            "weights": dict(self.weights),
            "arm": self.arm,
            "llm": self.llm,
            "anonymise": self.anonymise,
            "seed": self.seed,
            "finetune": asdict(self.finetune),
            "learnt": self.learnt,
            "scores": self.scores and self.scores.to_json(),
            "reference": self.reference and asdict(self.reference),
            "command": self.command,
            **({} if self.writes == "gguf" else {"writes": self.writes}),  # which older studies do not have
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ShrinkSettings:
        """Inverse of `to_json`; InputError when the study is of another kind."""
        if data.get("kind") != COMMAND:
            raise InputError(f"expected a study made by `mimar shrink`, got one of kind {data.get('kind')!r}")
        texts, asked, frame, speed = data["texts"], data["asked"], data["reference"], data["speed"]
        return ShrinkSettings(
            model=data["model"],
            fingerprint=data["fingerprint"],
            space=_space(data["space"]),
            texts=Texts(**{**texts, "calibration": tuple(texts["calibration"])}),
            profile=profile_from_json(data["device"], "device of the study"),
            workload=Workload(**data["workload"]),
            speed=None if speed is None else LlamaCppSpeed(tuple(speed["prefill_s"]), tuple(speed["decode_s"])),
            budgets=tuple(Budget(**budget) for budget in data["budgets"]),
            objectives=tuple(data["objectives"]),
            asked=Asked(**{**asked, "tasks": tuple(asked["tasks"])}),
            strategy=data["strategy"],
            weights=data["weights"],
            arm=data["arm"],
            llm=data["llm"],
            anonymise=data["anonymise"],
            seed=data["seed"],
            finetune=FineTune(**data["finetune"]),
            learnt=data["learnt"],
            scores=None if data["scores"] is None else BlockScores.from_json(data["scores"]),
            reference=None if frame is None else Reference(tuple(frame["point"]), tuple(frame["ideal"])),
            writes=_written(data.get("writes", "gguf")),
            command=data["command"],
        )


def _written(form: str) -> str:
    """As reports quote it in a command; ValueError for what no study of ours has."""
    if form not in ("hf", "gguf"):
        raise ValueError(f"it would be written as {form!r}")
    return form


def _space(data: Mapping[str, Any]) -> ElasticSpace:
    form: Form = data["form"]
    kv_heads, intermediate = (tuple(map(tuple, data[part])) for part in ("kv_heads", "intermediate"))
    return ElasticSpace(architecture_from_json(data["parent"], check=False), kv_heads, intermediate, form)
