"""Architecture → one Python file that needs torch only."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mimar.export._publish import ExportResult, publish, weights_written
from mimar.space import Architecture

_LOAD = """
import importlib.util

class_name, weights = arguments
spec = importlib.util.spec_from_file_location("model", f"{directory}/model.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
model = getattr(module, class_name)()
model.load_state_dict(load_file(weights), strict=True)
with torch.no_grad():
    logits = model.eval()(tokens)
"""


def export_code(arch: Architecture, directory: Path, *, class_name: str = "Model", seed: int = 0) -> ExportResult:
    """Write model.py, whose class `class_name` computes what the reference module computes.

    A fresh process imports the file, loads the weights of a reference module made with `seed`, and must give its
    logits. `InputError`: a class name or a directory that cannot be used. `ArchitectureError`: `arch` is not legal.
    `ExportError`: other logits.
    """
    from mimar.models import generate_code

    code = generate_code(arch, class_name=class_name)

    def write(aside: Path) -> dict[str, str]:
        from safetensors.torch import save_file

        from mimar.export._reload import Expected, check_logits

        expected = Expected.of(arch, seed)
        (aside / "model.py").write_text(code, encoding="utf-8")
        with TemporaryDirectory() as work, weights_written():
            weights = f"{work}/weights.safetensors"
            save_file(expected.state, weights)
            verdict = check_logits(_LOAD, aside, (class_name, weights), expected)
        return {"torch": f"ok: {verdict}"}

    return publish(arch, directory, "code", write)
