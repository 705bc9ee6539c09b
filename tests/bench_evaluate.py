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
from datasets import load_from_disk
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from stages.lib.base_model import ModelParams, resolve_base_model
from stages.lib.params import read_param_files
from stages.lib.scoring import load_trained_model, score_rows, verify_manifest

MODEL = Path("models/train")
CHECKED_ROWS = 4


def load_generator() -> torch.nn.Module:
    """Return the trained model with its whole vocabulary, as ``generate()`` needs it."""
    base = ModelParams(**verify_manifest(MODEL)["base_model"], trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        resolve_base_model(base), dtype=getattr(torch, base.dtype)
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return PeftModel.from_pretrained(model, MODEL).to(device).eval()


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
    trained, generator = load_trained_model(MODEL, False), load_generator()
    label_map = json.loads((MODEL / "label_map.json").read_text(encoding="utf-8"))
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]

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
