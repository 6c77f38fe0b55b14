"""The settings of a `design` study as plain data: what the journal's first entry holds and a resumed run reads back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimar.cli._training import TrainingSettings
from mimar.hardware import DeviceProfile, Workload, profile_from_json, profile_to_json
from mimar.objectives import Budget
from mimar.pareto import Reference
from mimar.space import (
    Architecture,
    TransformerSpace,
    architecture_from_json,
    architecture_to_json,
    space_from_json,
    space_to_json,
)

COMMAND = "design"


@dataclass(frozen=True)
class DesignSettings:
    """Everything that decides a study's trials, but the LLM's replies.

    profile: the device's figures as they were when the study began. score_data: what the score needs beside its name
    (the reference sample of an ensemble, the anchors of a judge). weights and arm: for the strategies that take them.
    start: the user's own architecture. anonymise: whether the LLM sees neutral names. command: how the study was
    started. training: how candidates are trained, where they are.
    """

    space: TransformerSpace
    profile: DeviceProfile
    workload: Workload
    budgets: tuple[Budget, ...]
    objectives: tuple[str, ...]
    score: str
    score_data: Mapping[str, Any]
    strategy: str
    weights: Mapping[str, float]
    arm: str
    llm: str
    anonymise: bool
    seed: int
    reference: Reference | None
    start: Architecture | None
    training: TrainingSettings | None
    command: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {
            "kind": COMMAND,
            "space": space_to_json(self.space),
            "device": profile_to_json(self.profile),
            "workload": asdict(self.workload),
            "budgets": [asdict(budget) for budget in self.budgets],
            "objectives": list(self.objectives),
            "score": self.score,
            "score_data": dict(self.score_data),
            "strategy": self.strategy,
            "llm": self.llm,
            "seed": self.seed,
            "reference": None
            if self.reference is None
            else {"point": list(self.reference.point), "ideal": list(self.reference.ideal)},
            "start": None if self.start is None else architecture_to_json(self.start),
            "command": self.command,
        } | self._rarely_given()

    def _rarely_given(self) -> dict[str, Any]:
        """Fields that are left out where nothing was given, as in studies from before there were any."""
        training = self.training and self.training.to_json()
        given = {
            "weights": dict(self.weights), "arm": self.arm, "anonymise": self.anonymise, "training": training,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DesignSettings:
        """Inverse of `to_json`."""
        frame = data["reference"]
        return DesignSettings(
            space=space_from_json(data["space"]),
            profile=profile_from_json(data["device"], "device of the study"),
            workload=Workload(**data["workload"]),
            budgets=tuple(Budget(**budget) for budget in data["budgets"]),
            objectives=tuple(data["objectives"]),
            score=data["score"],
            score_data=data["score_data"],
            strategy=data["strategy"],
            weights=data.get("weights", {}),
            arm=data.get("arm", ""),
            llm=data["llm"],
            anonymise=data.get("anonymise", False),
            seed=data["seed"],
            reference=None if frame is None else Reference(tuple(frame["point"]), tuple(frame["ideal"])),
            start=None if data["start"] is None else architecture_from_json(data["start"], check=False),
            training=TrainingSettings.from_json(data["training"]) if "training" in data else None,
            command=data["command"],
        )
