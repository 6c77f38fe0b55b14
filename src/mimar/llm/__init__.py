"""Language models behind one method: local, hosted, replayed; cached, retried, recorded, limited in cost.

Every class here but the values is an `LLM`; wrappers take another one. Nothing heavy is imported before it is
used.
"""

from ._cached import Cached, default_cache_path
from ._call import Call, CallError, CallRecord
from ._cost_limited import CostLimited
from ._default_model import ModelFile, default_model_path, fetch_default_model
from ._errors import BilledReplyError, RejectedError
from ._hub import choose_gguf, resolve_model
from ._keys import KEY_VARIABLES, Provider
from ._ledger import Ledger
from ._local import LocalLLM, start_server
from ._parse import complete_items, parse_reply, read_reply
from ._protocol import LLM, JSONValue, Message, Reply, Role, Usage
from ._provider import ProviderLLM
from ._recalled import Recalled
from ._recording import Recording
from ._replay import ReplayLLM
from ._retrying import Retrying
from ._schema import schema_error
from ._uniform import UniformLLM

__all__ = [
    "KEY_VARIABLES",
    "LLM",
    "BilledReplyError",
    "Cached",
    "Call",
    "CallError",
    "CallRecord",
    "CostLimited",
    "JSONValue",
    "Ledger",
    "LocalLLM",
    "Message",
    "ModelFile",
    "Provider",
    "ProviderLLM",
    "Recalled",
    "Recording",
    "RejectedError",
    "ReplayLLM",
    "Reply",
    "Retrying",
    "Role",
    "UniformLLM",
    "Usage",
    "choose_gguf",
    "complete_items",
    "default_cache_path",
    "default_model_path",
    "fetch_default_model",
    "parse_reply",
    "read_reply",
    "resolve_model",
    "schema_error",
    "start_server",
]
