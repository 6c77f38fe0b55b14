"""Template pieces of softmax attention; what they compute is said in `mimar.models`' own attention."""

from __future__ import annotations

HEADS = '''
def split_heads(x: Tensor, head_size: int) -> Tensor:
    """[B, T, heads * head_size] -> [B, heads, T, head_size]."""
    return x.unflatten(-1, (-1, head_size)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, heads, T, head_size] -> [B, T, heads * head_size]."""
    return x.transpose(1, 2).flatten(2)
'''

ROTATE = '''
def rotate(x: Tensor, start: int) -> Tensor:  #? cached
    """Rotary positions for x [B, heads, T, head_size], whose first token stands at position `start`."""  #? cached
def rotate(x: Tensor) -> Tensor:  #? !cached
    """Rotary positions for x [B, heads, T, head_size]."""  #? !cached
    half = x.shape[-1] // 2
    rates = POSITION_BASE ** (-torch.arange(half, device=x.device) / half)
    positions = torch.arange(start, start + x.shape[2], device=x.device)  #? cached
    positions = torch.arange(x.shape[2], device=x.device)  #? !cached
    angles = positions[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
'''

REMEMBER = '''
def remember(state: dict[str, Tensor], keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Puts new keys and values [B, heads, T, head_size] after those in `state`; returns all of them."""
    if state:
        keys = torch.cat([state["keys"], keys], dim=2)
        values = torch.cat([state["values"], values], dim=2)
    state["keys"], state["values"] = keys, values
    return keys, values
'''

POSITIONS = '''
def token_positions(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the queries [T, 1] and of the keys [S]; the queries belong to the last T keys."""
    positions = torch.arange(keys.shape[2], device=keys.device)
    return positions[-queries.shape[2] :, None], positions
'''

SLOPES = '''
def alibi_slopes(num_heads: int, device: torch.device) -> Tensor:
    """How fast each head forgets [num_heads]: 2^(-8 i / num_heads) (ALiBi)."""  #? !uneven
    """How fast each head forgets [num_heads]: ALiBi's slopes for any number of heads."""  #? uneven
    steps = torch.arange(1, num_heads + 1, device=device)  #? !uneven
    return 2.0 ** (-8.0 * steps / num_heads)  #? !uneven
    power = 1 << (num_heads.bit_length() - 1)  # the power of two below, then steps between its slopes  #? uneven
    steps = [*range(2, 2 * power + 1, 2), *range(1, 2 * power, 2)][:num_heads]  #? uneven
    return 2.0 ** (-4.0 * torch.tensor(steps, device=device) / power)  #? uneven
'''

ATTEND_CAUSAL = '''
def attend_causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention of queries [B, heads, T, head_size] to all keys and values up to their own token."""
    groups = queries.shape[1] // keys.shape[1]  #? grouped
    keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))  #? grouped
    new, seen = queries.shape[2], keys.shape[2]  #? cached
    if new < seen:  #? cached
        visible = torch.ones(new, seen, dtype=torch.bool, device=keys.device).tril(seen - new)  #? cached
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)  #? cached
    return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
'''

ATTEND = '''
def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention of queries [B, heads, T, head_size] to the keys they see; visible is [T, S]."""
    groups = queries.shape[1] // keys.shape[1]  #? grouped
    keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))  #? grouped
    query_at, key_at = token_positions(queries, keys)  #? alibi
    slopes = alibi_slopes(queries.shape[1], queries.device)  #? alibi
    bias = (slopes[:, None, None] * (key_at - query_at)).to(queries.dtype)  #? alibi
    bias = bias.masked_fill(~visible, -torch.inf)  #? alibi
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)  #? alibi !math
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)  #? !alibi !math
    scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5  #? math
    weights = (scores + bias).softmax(dim=-1)  #? alibi math
    weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)  #? !alibi math
    return weights @ values  #? math
'''

ABOUT = {
    "attention": "Causal self-attention",
    "sliding_window": "Causal attention to the last `window` tokens",
    "block_sparse": "Causal attention: own block of `window` and the block before",
}

HEADER = '''
class $name($base):
    """$about; x [B, T, HIDDEN_SIZE] -> same shape."""
'''

FORWARD = '''
    def forward(self, x: Tensor$state_argument) -> Tensor:
        """Mix the tokens of x, and those that `state` remembers."""  #? cached
        """Mix the tokens of x."""  #? !cached
        queries = split_heads(self.query(x), self.head_size)
        keys = split_heads(self.key(x), self.head_size)
        values = split_heads(self.value(x), self.head_size)
        past = state["keys"].shape[2] if state else 0  #? rope cached
        queries, keys = rotate(queries, past), rotate(keys, past)  #? rope cached
        queries, keys = rotate(queries), rotate(keys)  #? rope !cached
        keys, values = remember(state, keys, values)  #? cached
        query_at, key_at = token_positions(queries, keys)  #? !kernel_causal
        visible = key_at <= query_at  #? attention !kernel_causal
        visible = (key_at <= query_at) & (query_at - key_at < self.window)  #? sliding_window
        visible = (key_at <= query_at) & (query_at // self.window - key_at // self.window <= 1)  #? block_sparse
        mixed = attend_causal(queries, keys, values)  #? kernel_causal
        mixed = attend(queries, keys, values, visible)  #? !kernel_causal
        return self.output(merge_heads(mixed))
'''
