"""Every model against one slow decoder, written in numpy with loops from the state dict alone."""

import math

import numpy as np
import torch
from scipy.special import erf


def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "silu": lambda x: x * sigmoid(x),
    "sigmoid": sigmoid,
}


class SlowDecoder:
    """Logits of one text, one position at a time."""

    def __init__(self, arch, state):
        self.arch = arch
        self.state = {name: tensor.numpy().astype(float) for name, tensor in state.items()}

    def logits(self, ids):
        arch = self.arch
        x = self.state["embedding.weight"][ids]
        if arch.position == "sinusoidal":
            x = x * math.sqrt(arch.hidden_size)
            for t, i in np.ndindex(x.shape):
                angle = t / 10000 ** ((i - i % 2) / arch.hidden_size)
                x[t, i] += math.cos(angle) if i % 2 else math.sin(angle)
        for layer, block in enumerate(arch.blocks):
            x = self.layer(f"blocks.{layer // arch.layer_sharing}", block, x)
        if arch.norm_placement != "post":
            x = self.norm("norm", x)
        head = "embedding" if arch.tied_embeddings else "head"
        return x @ self.state[f"{head}.weight"].T

    def norm(self, name, x):
        weight = self.state[f"{name}.weight"]
        if self.arch.norm == "rmsnorm":
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + self.state[f"{name}.bias"]

    def layer(self, name, block, x):
        def mix(y):
            return self.mix(f"{name}.mixer", block.mixer, y) if block.mixer.kind != "none" else 0 * y

        def feed(y):
            part = block.feed_forward
            return (
                np.stack([self.feed(f"{name}.feed_forward", part, row) for row in y]) if part.kind != "none" else 0 * y
            )

        if self.arch.topology == "parallel":
            return self.residual(f"{name}.block_norm", lambda y: mix(y) + feed(y), x)
        if block.mixer.kind != "none":
            x = self.residual(f"{name}.mixer_norm", mix, x)
        if block.feed_forward.kind != "none":
            x = self.residual(f"{name}.feed_forward_norm", feed, x)
        return x

    def residual(self, norm, part, x):
        match self.arch.norm_placement:
            case "pre":
                return x + part(self.norm(norm, x))
            case "post":
                return self.norm(norm, x + part(x))
            case "sandwich":
                return x + self.norm(f"{norm}_out", part(self.norm(f"{norm}_in", x)))

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].T

    def feed(self, name, part, x):
        if part.kind != "moe":
            return self.expert(name, part, x)
        probabilities = softmax(self.linear(f"{name}.router", x))
        chosen = np.argsort(-probabilities)[: part.top_k]
        total = probabilities[chosen].sum()
        return sum(probabilities[i] / total * self.expert(f"{name}.experts.{i}", part, x) for i in chosen)

    def expert(self, name, part, x):
        activation = ACTIVATIONS[part.activation]
        if part.kind == "ffn":
            return self.linear(f"{name}.down", activation(self.linear(f"{name}.up", x)))
        gated = activation(self.linear(f"{name}.gate", x)) * self.linear(f"{name}.up", x)
        return self.linear(f"{name}.down", gated)

    def mix(self, name, mixer, x):
        if mixer.kind == "convolution":
            return self.convolve(name, mixer, x)
        heads = []
        for head in range(mixer.num_heads):
            shared = head // (mixer.num_heads // mixer.num_kv_heads)
            parts = (("query", head), ("key", shared), ("value", shared))
            query, key, value = (
                self.linear(f"{name}.{part}", x)[:, at * mixer.head_size : (at + 1) * mixer.head_size]
                for part, at in parts
            )
            attend = self.attend_linearly if mixer.kind == "linear" else self.attend
            heads.append(attend(mixer, head, query, key, value))
        return self.linear(f"{name}.output", np.concatenate(heads, axis=1))

    def attend(self, mixer, head, query, key, value):
        out = np.zeros_like(query)
        for t in range(len(query)):
            seen = [s for s in range(t + 1) if sees(mixer, t, s)]
            scores = np.array([self.score(mixer, head, query[t], key[s], (t, s)) for s in seen])
            out[t] = softmax(scores) @ value[seen]
        return out

    def score(self, mixer, head, query, key, places):
        t, s = places
        if self.arch.position == "rope":
            query, key = turned(query, t), turned(key, s)
        distance = t - s if self.arch.position == "alibi" else 0
        return query @ key / math.sqrt(mixer.head_size) - slopes(mixer.num_heads)[head] * distance

    def attend_linearly(self, mixer, head, query, key, value):
        def feature(x):
            return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))

        out = np.zeros_like(query)
        for t in range(len(query)):
            weights = np.array([feature(query[t]) @ feature(key[s]) for s in range(t + 1)])
            out[t] = weights @ value[: t + 1] / (weights.sum() + 1e-6)
        return out

    def convolve(self, name, mixer, x):
        gate, value = self.linear(f"{name}.gate", x), self.linear(f"{name}.value", x)
        taps, mixed = self.state[f"{name}.taps"], np.zeros_like(x)
        for t in range(len(x)):
            for back in range(min(mixer.kernel_size, t + 1)):
                mixed[t] += taps[:, mixer.kernel_size - 1 - back] * value[t - back]
        return self.linear(f"{name}.output", ACTIVATIONS["silu"](gate) * mixed)


def sees(mixer, t, s):
    if mixer.kind == "sliding_window":
        return t - s < mixer.window
    if mixer.kind == "block_sparse":
        return t // mixer.window - s // mixer.window <= 1
    return True


def turned(x, position):
    half = len(x) // 2
    out = x.copy()
    for i in range(half):
        angle = position * 10000 ** (-2 * i / len(x))
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
    return out


def slopes(heads):
    """As the authors' released code computes them."""
    power = 2 ** math.floor(math.log2(heads))
    start = 2 ** (-(2 ** -(math.log2(power) - 3)))
    found = [start * start**i for i in range(power)]
    return found + (slopes(2 * power)[0::2][: heads - power] if power < heads else [])


def test_logits_equal_the_slow_reference(any_arch, lively, tokens):
    model, ids = lively(any_arch), tokens(11)
    with torch.no_grad():
        logits = model(ids).numpy()
    slow = SlowDecoder(any_arch, model.state_dict())
    for row in range(2):
        expected = slow.logits(ids[row].numpy())
        np.testing.assert_allclose(logits[row], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_alibi_slopes_for_any_number_of_heads():
    from mimar.models._positions import alibi_slopes

    for heads in (1, 2, 3, 5, 6, 8, 12, 14, 32):
        np.testing.assert_allclose(alibi_slopes(heads), slopes(heads))
