"""Speed of scoring: rows a second of `score`, against ``generate()`` on the same model and rows.

    python -m benchmarks.score [--rows 500]

Run it after ``dvc repro`` or ``dvc pull``, on an idle machine: it needs models/train and
data/tokenize/test. It writes nothing.

``generate()`` answers the same prompts in three ways: row by row with eight new tokens, like a
model that writes an account code and an end mark; in padded batches of eight; and row by row with
a single new token. Each is timed right after ours. At the end some rows are scored account by
account, with one text for each account and over the full vocabulary, in float32: both ways must
give the same account.
"""

import argparse
import json
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import nn
from transformers.utils import logging

from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.contracts.train import MODEL
from stages.lib.model.scoring import TrainedModel, load_trained_model, score_rows
from stages.lib.model.tokenized import load_side
from stages.lib.params.files import load_params
from stages.lib.params.score import ScoreParams

CHECKED_ROWS = 4


class WholeHead(nn.Module):
    """The base model's output matrix, with the trained rows of the label tokens in it."""

    def __init__(self, vocabulary: torch.Tensor, head: nn.Module, token_ids: list[int]):
        super().__init__()
        self.weight = nn.Parameter(vocabulary.detach().to(head.weight.dtype).clone(), False)
        self.weight[token_ids] = head.weight.detach()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden.to(self.weight.dtype), self.weight)


def whole_vocabulary(trained: TrainedModel, token_ids: list[int]) -> nn.Module:
    """Return the trained model with its whole vocabulary, as ``generate()`` needs it."""
    model = trained.model
    vocabulary = model.get_input_embeddings().weight  # SmolLM2 and Qwen3 tie the two matrices
    model.set_output_embeddings(WholeHead(vocabulary, model.get_output_embeddings(), token_ids))
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
    """Return the account whose label token is most probable after `prompt`.

    Each account is scored by a text of its own, prompt and label token, over all tokens.
    """
    device = next(model.parameters()).device
    texts = torch.tensor([[*prompt, token_id] for token_id in token_ids], device=device)
    place = torch.tensor([len(prompt) - 1], device=device)
    log_probabilities = model(input_ids=texts, logits_to_keep=place).logits[:, 0].log_softmax(-1)
    return int(log_probabilities[range(len(token_ids)), token_ids].argmax())


def check(prompts: list[list[int]], token_ids: list[int], batch_tokens: int) -> None:
    """Compare the accounts of some rows with those found account by account, in float32."""
    trained = load_trained_model(MODEL, False)
    trained.model.float()
    found = score_rows(trained, prompts, batch_tokens, 1, "score in float32").argmax(1).tolist()
    model = whole_vocabulary(trained, token_ids)
    slow = [account_by_account(model, prompt, token_ids) for prompt in prompts]
    assert slow == found, f"account by account: {slow}, score_rows: {found}"
    print(f"the same account as account by account on all {len(prompts)} rows checked")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.score", description="Speed of scoring against generate()."
    )
    parser.add_argument("--rows", type=int, default=500, help="test rows to score (500)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    logging.set_verbosity_error()
    batch_tokens = load_params(score=ScoreParams).score.batch_tokens
    prompts = list(load_side("test")["input_ids"])[: arguments.rows]
    label_map = json.loads((MODEL / LABEL_MAP).read_text(encoding="utf-8"))
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    trained = load_trained_model(MODEL, False)
    generator = whole_vocabulary(load_trained_model(MODEL, False), token_ids)

    def timed(name, run):
        start = perf_counter()
        run()
        rate = len(prompts) / (perf_counter() - start)
        print(f"{name:44}{rate:9.1f} rows/s", flush=True)
        return rate

    def score():
        score_rows(trained, prompts, batch_tokens, None, "score")

    score_rows(trained, prompts[:8], batch_tokens, None, "warm up")
    generate(generator, prompts[:2], 1, 2)
    rates = {}
    for batch, new_tokens in ((1, 8), (8, 8), (1, 1)):
        ours = timed("score_rows", score)
        name = f"generate, {batch} row(s) at a time, {new_tokens} token(s)"
        rate = timed(name, lambda b=batch, n=new_tokens: generate(generator, prompts, b, n))
        rates[name] = ours / rate
    for name, ratio in rates.items():
        print(f"score_rows is {ratio:.1f} times as fast as {name}")
    check(prompts[:CHECKED_ROWS], token_ids, batch_tokens)


if __name__ == "__main__":
    main()
