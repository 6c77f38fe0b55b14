"""mimar: language-model architectures for a device and a budget.

The names below are loaded on first use, so that `import mimar` and the command line stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimar.design import DesignTask, design_task, restricted_to_device
    from mimar.errors import MimarError
    from mimar.hardware import DeviceProfile, Workload, load_profile
    from mimar.models import build
    from mimar.objectives import Budget, Objective
    from mimar.proxies import adw, zerolm
    from mimar.space import Architecture, Defaults, TransformerSpace, architecture_from_json, architecture_to_json
    from mimar.storage import SQLiteStorage
    from mimar.strategy import NSGA2, AdaptivePortfolio, LLMSearch, RandomSearch, RegularisedEvolution, ZeroLM
    from mimar.study import Study
    from mimar.trial import Trial

__all__ = [
    "NSGA2",
    "AdaptivePortfolio",
    "Architecture",
    "Budget",
    "Defaults",
    "DesignTask",
    "DeviceProfile",
    "LLMSearch",
    "MimarError",
    "Objective",
    "RandomSearch",
    "RegularisedEvolution",
    "SQLiteStorage",
    "Study",
    "TransformerSpace",
    "Trial",
    "Workload",
    "ZeroLM",
    "adw",
    "architecture_from_json",
    "architecture_to_json",
    "build",
    "design_task",
    "load_profile",
    "restricted_to_device",
    "zerolm",
]

_HOME = {
    "design": ("DesignTask", "design_task", "restricted_to_device"),
    "errors": ("MimarError",),
    "hardware": ("DeviceProfile", "Workload", "load_profile"),
    "models": ("build",),
    "objectives": ("Budget", "Objective"),
    "proxies": ("adw", "zerolm"),
    "space": ("Architecture", "Defaults", "TransformerSpace", "architecture_from_json", "architecture_to_json"),
    "storage": ("SQLiteStorage",),
    "strategy": ("NSGA2", "AdaptivePortfolio", "LLMSearch", "RandomSearch", "RegularisedEvolution", "ZeroLM"),
    "study": ("Study",),
    "trial": ("Trial",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
