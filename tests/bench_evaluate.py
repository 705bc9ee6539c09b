"""How many rows a second the evaluation scores, against ``generate()`` on the same model and rows.

Run ``python -m tests.bench_evaluate [rows]`` after ``dvc repro`` (or ``dvc pull``), on an idle
machine. It needs ``models/train`` and ``data/tokenize/test``; it is no test and writes nothing.

The rows are scored by ``score_rows`` as ``evaluate`` does it. ``generate()`` answers the same
prompts in three ways: row by row with eight new tokens, as a model that writes an account code
and an end mark would; in padded batches of eight; and row by row with a single new token. At last
some rows are scored account by account, one forward pass each over the full vocabulary: both
must name the same account.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from datasets import load_from_disk
from torch import nn
from transformers.utils import logging

from stages.lib.model.scoring import load_trained_model, score_rows
from stages.lib.params import read_param_files

MODEL = Path("models/train")
CHECKED_ROWS = 4


class WholeHead(nn.Module):
    """The base model's output matrix with the trained rows of the label tokens put into it."""

    def __init__(self, vocabulary: torch.Tensor, head: nn.Module, token_ids: list[int]):
        super().__init__()
        self.weight = nn.Parameter(vocabulary.detach().to(head.weight.dtype).clone(), False)
        self.weight[token_ids] = head.weight.detach()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden.to(self.weight.dtype), self.weight)


def load_generator(token_ids: list[int]) -> nn.Module:
    """Return the trained model with its whole vocabulary, as ``generate()`` needs it."""
    model = load_trained_model(MODEL, False).model.get_base_model()
    vocabulary = model.get_input_embeddings().weight  # SmolLM2 and Qwen3 tie the two matrices
    head = model.get_output_embeddings()
    trained = getattr(head, "modules_to_save", {"default": head})["default"]
    model.set_output_embeddings(WholeHead(vocabulary, trained, token_ids))
    return model


@torch.inference_mode()
def generate(model, prompts: list[list[int]], batch: int, new_tokens: int) -> None:
    """Generate exactly `new_tokens` tokens for each prompt, in batches padded on the left."""
    device = next(model.parameters()).device
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        longest = max(map(len, part))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in part], device=device)
        mask = torch.tensor(
            [[0] * (longest - len(row)) + [1] * len(row) for row in part], device=device
        )
        model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            pad_token_id=0,
            use_cache=True,
        )


@torch.inference_mode()
def account_by_account(model, prompt: list[int], token_ids: list[int]) -> int:
    """Return the account whose label token is most probable after `prompt`, one pass an account."""
    device = next(model.parameters()).device
    chances = []
    for token_id in token_ids:
        ids = torch.tensor([[*prompt, token_id]], device=device)
        log_probability = model(input_ids=ids).logits.log_softmax(-1)
        chances.append(float(log_probability[0, len(prompt) - 1, token_id]))
    return int(np.argmax(chances))


def main() -> None:
    logging.set_verbosity_error()
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    batch_tokens = read_param_files(Path())["evaluate"][1]["batch_tokens"]
    prompts = list(load_from_disk("data/tokenize/test")["input_ids"])[:rows]
    trained = load_trained_model(MODEL, False)
    label_map = json.loads((MODEL / "label_map.json").read_text(encoding="utf-8"))
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    generator = load_generator(token_ids)

    def timed(name, run):
        start = perf_counter()
        result = run()
        rate = len(prompts) / (perf_counter() - start)
        print(f"{name:44}{rate:9.1f} rows/s")
        return rate, result

    score_rows(trained, prompts[:8], batch_tokens, "warm up")
    ours, logits = timed("score_rows", lambda: score_rows(trained, prompts, batch_tokens, "score"))
    rates = {}
    for batch, new_tokens in ((1, 8), (8, 8), (1, 1)):
        name = f"generate, {batch} row(s) at a time, {new_tokens} token(s)"
        rates[name], _ = timed(
            name, lambda b=batch, n=new_tokens: generate(generator, prompts, b, n)
        )
    for name, rate in rates.items():
        print(f"score_rows is {ours / rate:.1f} times as fast as {name}")
    for row in range(CHECKED_ROWS):
        slow = account_by_account(generator, prompts[row], token_ids)
        assert slow == logits[row].argmax(), f"row {row}: {slow} and {logits[row].argmax()}"
    print(f"the same account as account by account on all {CHECKED_ROWS} rows checked")


if __name__ == "__main__":
    main()
