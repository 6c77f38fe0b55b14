"""Architecture → JSON that reads back to the same architecture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from mimar.errors import ExportError, InputError
from mimar.export._publish import ExportResult, publish
from mimar.space import Architecture, architecture_from_json, architecture_to_json


def export_json(
    arch: Architecture,
    directory: Path,
    *,
    model_name: str,
    estimated_metrics: Mapping[str, float],
    metrics: Mapping[str, float] | None = None,
) -> ExportResult:
    """Write architecture.json: ``{"model_name", "architecture", "estimated_metrics"}``, and ``metrics`` when given.

    estimated_metrics: by custom ``params``, ``flops`` and ``latency_ms``. The file is read back and must give `arch`
    again. `InputError`: a metric that is not a finite number, or a directory that holds something else.
    """
    content = {
        "model_name": model_name,
        "architecture": architecture_to_json(arch),
        "estimated_metrics": _finite(estimated_metrics),
    }
    if metrics is not None:
        content["metrics"] = _finite(metrics)
    text = json.dumps(content, indent=2) + "\n"

    def write(aside: Path) -> dict[str, str]:
        file = aside / "architecture.json"
        file.write_text(text, encoding="utf-8")
        if architecture_from_json(json.loads(file.read_text(encoding="utf-8"))) != arch:
            raise ExportError("expected architecture.json to read back to the same architecture, got another one")
        return {"mimar": "ok: reads back to the same architecture"}

    return publish(arch, directory, "json", write)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        raise InputError(f"expected finite numbers as metrics, got {metrics[wrong[0]]} for {wrong[0]}; leave it out")
    return dict(metrics)
