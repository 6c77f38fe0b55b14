"""Template pieces of the token mixers; what they compute is said in `mimar.models`' own mixers."""

from __future__ import annotations

from collections.abc import Set

from mimar.models import _codegen_attention as attention
from mimar.models._codegen_template import render
from mimar.space import HEADED_MIXERS, SOFTMAX_MIXERS, Architecture, Mixer, MixerKind

CLASS_NAMES: dict[MixerKind, str] = {
    "attention": "Attention",
    "sliding_window": "SlidingWindowAttention",
    "block_sparse": "BlockSparseAttention",
    "linear": "LinearAttention",
    "convolution": "GatedConvolution",
}
"""Mixer kind → name of its class in generated code."""

_HEADED_MIXER = '''
class HeadedMixer(nn.Module):
    """The query, key, value and output matrices that all mixers with heads have."""

    def __init__(self, $heads) -> None:
        super().__init__()
        self.head_size = head_size
        self.query = nn.Linear(HIDDEN_SIZE, num_heads * head_size, bias=False)
        self.key = nn.Linear(HIDDEN_SIZE, $kv_heads * head_size, bias=False)
        self.value = nn.Linear(HIDDEN_SIZE, $kv_heads * head_size, bias=False)
        self.output = nn.Linear(num_heads * head_size, HIDDEN_SIZE, bias=False)
'''

_HEADED_INIT = """
    def __init__(self, $heads) -> None:  #? !windowed
    def __init__(self, $heads, window: int) -> None:  #? windowed
        super().__init__()  #? alone
        super().__init__($passed_heads)  #? !alone
        self.head_size = head_size  #? alone
        self.query = nn.Linear(HIDDEN_SIZE, num_heads * head_size, bias=False)  #? alone
        self.key = nn.Linear(HIDDEN_SIZE, $kv_heads * head_size, bias=False)  #? alone
        self.value = nn.Linear(HIDDEN_SIZE, $kv_heads * head_size, bias=False)  #? alone
        self.output = nn.Linear(num_heads * head_size, HIDDEN_SIZE, bias=False)  #? alone
        self.window = window  #? windowed
"""

_LINEAR_HEADER = '''
class LinearAttention($base):
    """Causal linear attention with the feature map elu + 1; x [B, T, HIDDEN_SIZE] -> same shape."""

    chunk = 64  # tokens compared pairwise; those before are read from their sums
'''

_LINEAR_FORWARD = '''
    def forward(self, x: Tensor$state_argument) -> Tensor:
        """Mix the tokens of x, and those that `state` sums up."""  #? cached
        """Mix the tokens of x."""  #? !cached
        queries = F.elu(split_heads(self.query(x), self.head_size)) + 1
        keys = F.elu(split_heads(self.key(x), self.head_size)) + 1
        # One more value, always 1, takes the normaliser through the same sums.
        values = F.pad(split_heads(self.value(x), self.head_size), (0, 1), value=1.0)
        groups = queries.shape[1] // keys.shape[1]  #? grouped
        keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))  #? grouped
        sums = keys.new_zeros(*keys.shape[:2], self.head_size, self.head_size + 1)
        sums = state.get("sums", sums)  #? cached
        mixed = []
        chunks = zip(*(part.split(self.chunk, dim=2) for part in (queries, keys, values)), strict=True)
        for query, key, value in chunks:
            nearby = (query @ key.transpose(-2, -1)).tril()
            mixed.append(nearby @ value + query @ sums)
            sums = sums + key.transpose(-2, -1) @ value
        state["sums"] = sums  #? cached
        totals, normaliser = torch.cat(mixed, dim=2).split([self.head_size, 1], dim=-1)
        return self.output(merge_heads(totals / (normaliser + 1e-6)))
'''

_CONVOLUTION_HEADER = '''
class GatedConvolution(nn.Module):
    """output(silu(gate(x)) * conv(value(x))), causal and depthwise; x [B, T, HIDDEN_SIZE] -> same shape."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE, bias=False)
        self.value = nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE, bias=False)
        self.taps = nn.Parameter(torch.empty(HIDDEN_SIZE, kernel_size))
        self.output = nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE, bias=False)
'''

_CONVOLUTION_FORWARD = '''
    def forward(self, x: Tensor$state_argument) -> Tensor:
        """Mix the tokens of x, and the last ones before them from `state`."""  #? cached
        """Mix the tokens of x."""  #? !cached
        values = self.value(x).transpose(1, 2)  # [B, HIDDEN_SIZE, T]
        before = self.taps.shape[1] - 1
        past = state["values"] if state else values.new_zeros(*values.shape[:2], before)  #? cached
        values = torch.cat([past, values], dim=2)  #? cached
        state["values"] = values[:, :, -before:].clone()  #? cached
        values = F.pad(values, (before, 0))  #? !cached
        mixed = F.conv1d(values, self.taps.unsqueeze(1), groups=HIDDEN_SIZE)
        return self.output(F.silu(self.gate(x)) * mixed.transpose(1, 2))
'''


def mixer_flags(arch: Architecture) -> set[str]:
    """Which conditions of the mixer templates hold for the whole of `arch`."""
    mixers = [block.mixer for block in arch.unique_blocks]
    headed = [mixer for mixer in mixers if mixer.kind in HEADED_MIXERS]
    softmax = [mixer for mixer in mixers if mixer.kind in SOFTMAX_MIXERS]
    conditions = {
        "grouped": any(mixer.num_kv_heads < mixer.num_heads for mixer in headed),
        "alone": len({mixer.kind for mixer in headed}) == 1,
        "math": arch.attention_kernel == "math",
        "rope": arch.position == "rope",
        "alibi": arch.position == "alibi",
        "uneven": any(mixer.num_heads & (mixer.num_heads - 1) for mixer in softmax),
    }
    return {name for name, holds in conditions.items() if holds}


def mixer_pieces(arch: Architecture, flags: Set[str]) -> list[str]:
    """Functions and classes of the mixers that `arch` has, each once, in the order in which they need each other."""
    kinds = {block.mixer.kind for block in arch.unique_blocks}
    headed, softmax = kinds & HEADED_MIXERS, kinds & SOFTMAX_MIXERS
    kernel_causal = "attention" in kinds and not flags & {"math", "alibi"}
    masked = bool(softmax - {"attention"}) or (bool(softmax) and not kernel_causal)
    wanted = [
        (attention.HEADS, bool(headed)),
        (attention.ROTATE, "rope" in flags),
        (attention.REMEMBER, bool(softmax) and "cached" in flags),
        (attention.POSITIONS, masked),
        (attention.SLOPES, "alibi" in flags),
        (attention.ATTEND_CAUSAL, kernel_causal),
        (attention.ATTEND, masked),
        (_HEADED_MIXER, len(headed) > 1),
    ]
    pieces = [render(piece, flags, _words(flags)) for piece, there in wanted if there]
    return pieces + [_mixer_class(kind, flags) for kind in CLASS_NAMES if kind in kinds]


def mixer_arguments(mixer: Mixer, flags: Set[str]) -> dict[str, int]:
    """Constructor arguments of the mixer's class, by the names of their constants, in order."""
    if mixer.kind == "convolution":
        return {"KERNEL_SIZE": mixer.kernel_size}
    heads = {"NUM_HEADS": mixer.num_heads, "NUM_KV_HEADS": mixer.num_kv_heads, "HEAD_SIZE": mixer.head_size}
    if "grouped" not in flags:
        del heads["NUM_KV_HEADS"]
    return heads | ({"WINDOW": mixer.window} if mixer.window else {})


def _mixer_class(kind: MixerKind, flags: Set[str]) -> str:
    """The class of one kind: header, constructor unless it is inherited as it is, forward pass."""
    conditions = {
        kind: True,
        "windowed": kind in ("sliding_window", "block_sparse"),
        "kernel_causal": kind == "attention" and not flags & {"math", "alibi"},
    }
    own = flags | {name for name, holds in conditions.items() if holds}
    init = [_HEADED_INIT] if own & {"windowed", "alone"} else []
    header, forward = attention.HEADER, attention.FORWARD
    if kind == "linear":
        header, forward = _LINEAR_HEADER, _LINEAR_FORWARD
    if kind == "convolution":
        header, init, forward = _CONVOLUTION_HEADER, [], _CONVOLUTION_FORWARD
    words = _words(flags) | {"name": CLASS_NAMES[kind], "about": attention.ABOUT.get(kind, "")}
    return "\n\n".join(render(piece, own, words) for piece in (header, *init, forward))


def _words(flags: Set[str]) -> dict[str, str]:
    grouped = "grouped" in flags
    names = ["num_heads", "num_kv_heads", "head_size"] if grouped else ["num_heads", "head_size"]
    return {
        "base": "nn.Module" if "alone" in flags else "HeadedMixer",
        "heads": ", ".join(f"{name}: int" for name in names),
        "passed_heads": ", ".join(names),
        "kv_heads": "num_kv_heads" if grouped else "num_heads",
        "state_argument": ", state: dict[str, Tensor]" if "cached" in flags else "",
    }
