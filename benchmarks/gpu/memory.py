"""How much GPU memory a training of Qwen3-4B takes, computed, and which card has it.

    python -m benchmarks.gpu.memory

It prints the table of docs/results.md. Nothing is measured here. One number comes from a
measurement: without checkpointing a token takes 4.57 MB in bfloat16, padding counted. That is the
difference between two trainings on an H100 (25 GB with 3,712 tokens in the longest batch, 77 GB
with 15,104), with LoRA on q, k, v and o and PyTorch's attention. Their common part, 8.1 GB, is what
the weights below add up to.
"""

import argparse
from typing import NamedTuple

LAYERS, HIDDEN = 36, 2560
IN_LAYERS = 3.63e9  # weights, all of them in linear modules but for 0.01 %
EMBEDDINGS = 151936 * HIDDEN  # weights; the output matrix is the same, and is not needed
ADAPTERS = 11.8e6 + 226 * HIDDEN  # LoRA r 16 on q, k, v, o, and the output rows of 226 accounts
TOKEN = 4.57e6  # bytes, in bfloat16, without checkpointing
# 4 bits, one byte for 64 weights, and one float32 for 256 of these bytes.
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
CONTEXT = 1.0e9  # of CUDA and its libraries
LOST = 1.05  # what the allocator cannot use
GIB = 2**30
# Name, memory, whether it multiplies bfloat16; the smallest first.
CARDS = (
    ("RTX 4060 (8 GB)", 8 * GIB, True),
    ("RTX 3060 (12 GB)", 12 * GIB, True),
    ("T4 (16 GB)", 15 * GIB, False),
    ("RTX 4060 Ti (16 GB)", 16 * GIB, True),
    ("L4, A10, RTX 4090 (24 GB)", 22.5 * GIB, True),
    ("V100 (32 GB)", 32 * GIB, False),
    ("A100 (40 GB)", 40 * GIB, True),
    ("L40S, RTX A6000 (48 GB)", 45 * GIB, True),
    ("A100, H100 (80 GB)", 79 * GIB, True),
    ("H200 (141 GB)", 139 * GIB, True),
)


class Setting(NamedTuple):
    """What is trained, and how.

    Attributes
    ----------
    quantize : str
        ``none`` or ``nf4``.
    checkpointing : bool
    tokens : int
        In the longest step, padding included.
    dtype : str
        ``bfloat16`` or ``float32``.
    """

    quantize: str
    checkpointing: bool
    tokens: int
    dtype: str = "bfloat16"


SETTINGS = (
    Setting("none", False, 15104),
    Setting("none", False, 8192),
    Setting("none", False, 4096),
    Setting("none", True, 16384),
    Setting("none", True, 8192),
    Setting("none", True, 1024),
    Setting("nf4", False, 2048),
    Setting("nf4", False, 1024),
    Setting("nf4", True, 16384),
    Setting("nf4", True, 4096),
    Setting("nf4", True, 4096, "float32"),
    Setting("none", True, 4096, "float32"),
)
MEASURED = {Setting("none", False, 15104): "77 on an H100"}


def training_memory(setting: Setting) -> float:
    """Return the bytes that a training needs at its peak, without `CONTEXT` and `LOST`."""
    width = 2 if setting.dtype == "bfloat16" else 4
    weights = IN_LAYERS * (width if setting.quantize == "none" else NF4) + EMBEDDINGS * width
    adapters = ADAPTERS * 4 * 4  # weights, gradients and two states of AdamW, in float32
    token = TOKEN * width / 2
    if setting.checkpointing:  # the input of each layer, and one layer that is computed again
        token = LAYERS * HIDDEN * width + token / LAYERS
    return weights + adapters + setting.tokens * token


def smallest_card(setting: Setting) -> str:
    """Return the smallest card of `CARDS` that has the memory, and multiplies in this format.

    In float32 only cards without bfloat16 are looked at: the others have no reason to use it.
    """
    needed = training_memory(setting) * LOST + CONTEXT
    for name, memory, has_bfloat16 in CARDS:
        if memory >= needed and has_bfloat16 == (setting.dtype == "bfloat16"):
            return name
    return "none of these"


def table() -> str:
    """Return the table in Markdown."""
    lines = [
        "| `model.quantize` | `gradient_checkpointing` | `model.dtype` | tokens in a step | GB, "
        "computed | GB, measured | the smallest card |",
        "|---|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        cells = [
            setting.quantize,
            str(setting.checkpointing).lower(),
            setting.dtype,
            f"{setting.tokens:,}",
            f"{training_memory(setting) / 1e9:.1f}",
            MEASURED.get(setting, "–"),
            smallest_card(setting),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.memory", description=__doc__.splitlines()[0]
    )
    parser.parse_args()
    print(table())


if __name__ == "__main__":
    main()
