"""How much GPU memory the platform thinks a model needs, by its name and its own configuration file.

Sources: the inference of hardware for LLM endpoints in model engine; held against its answers by ``tests/platform``.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

_SIZES: Final = {
    "mixtral-8x7b": 47,
    "mixtral-8x22b": 140,
    "phi-3-mini": 4,
    "phi-3-small": 8,
    "phi-3-medium": 15,
    "deepseek-coder-v2-lite": 16,
    "deepseek-coder-v2": 237,
}
"""Billions of parameters of models whose names contain this."""


def parameters(model: str) -> int | None:
    """Billions of parameters, as the platform reads them from a model's name: "llama-3.1-8b" has 8."""
    known = next((size for part, size in _SIZES.items() if part in model), None)
    if known is not None:
        return known
    numbers: list[str] = re.findall(r"(\d+)b", model)
    return int(numbers[-1]) if numbers else None


def gigabytes_needed(
    model: str, config: Mapping[str, Any], *, batch: bool = False, context: int | None = None
) -> int | None:
    """The GPU memory for which the platform looks a tier up; None where the model's name has no size.

    ``config`` is the model's own configuration file, ``context`` the longest that a request asks for. Weights take 2
    bytes for each parameter; the cache of keys and values has room for two contexts, of a batch job for twenty; and
    nine tenths of the memory are used.
    """
    size = parameters(model)
    if size is None:
        return None
    length = min(context, config["max_position_embeddings"]) if context else config["max_position_embeddings"]
    contexts = 20 if batch else 2
    shared = config["num_attention_heads"] // config["num_key_value_heads"]
    cache = contexts * 2 * config["num_hidden_layers"] * config["hidden_size"] * length // shared
    return math.ceil((int(cache) + 2 * size * 10**9) / 10**9 / 0.9)
