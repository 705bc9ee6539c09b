"""Train the base model on a whole ledger, and compare it with TF-IDF on the same test rows.

    python -m benchmarks.gpu.ledger KIT chosen|all [--seconds 120] [--tiny]

A part of the GPU kit, see benchmarks/gpu/README.md. ``chosen``: the rows that TF-IDF has learned
from, two passes; ``all``: all training rows, one pass. A training that takes longer than
``--seconds`` ends early, and says so. The last line that it prints is its result, as JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, set_seed
from transformers.utils import logging

from benchmarks.gpu.machine import WARM_UP_STEPS, Clock, Rows, device, peak_memory, row_attention
from benchmarks.gpu.training import fuse_or_stop, train
from stages.lib.model.base_model import resolve_base_model
from stages.lib.model.label_head import LabelHead, load_base_model
from stages.lib.model.packed_rows import use_packed_attention
from stages.lib.model.scoring import TrainedModel, score_rows
from stages.lib.model.trainable_model import apply_peft_adapters
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams

TRAIN, TEST = 0, 1  # sides of data.npz
PASSES = {"chosen": 2, "all": 1}


def load_rows(path: Path, tiny: bool) -> dict[str, object]:
    """Return ``chosen``, ``all`` and ``test`` rows, and what else data.npz has.

    `tiny`: at most 200 rows of each.
    """
    with np.load(path) as found:
        data = dict(found)
    prompts = np.split(data["tokens"].astype(np.int64), np.cumsum(data["lengths"])[:-1])

    def rows(which: np.ndarray) -> Rows:
        places = np.flatnonzero(which)[: 200 if tiny else None]
        return Rows([prompts[i] for i in places], data["labels"][places].astype(int))

    train = data["side"] == TRAIN
    sides = {"all": rows(train), "chosen": rows(train & data["chosen"]), "test": rows(~train)}
    right = data["baseline_right"][: len(sides["test"])]
    learned = int(data["chosen"].sum())
    return {**data, **sides, "baseline_right": right, "baseline_rows": learned}


def make_model(token_ids: list[int], tokens: np.ndarray, tiny: bool) -> torch.nn.Module:
    """Return the base model with a label head; `tiny`: a random one of the same kind."""
    params = load_params(model=ModelParams, lora=LoraParams)
    base = params.model.model_copy(update={"dtype": "bfloat16"})
    if tiny:
        config = LlamaConfig(
            vocab_size=int(max(tokens.max(), max(token_ids))) + 1,
            **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
            **{"num_attention_heads": 4, "num_key_value_heads": 2, "use_cache": False},
        )
        model = LlamaForCausalLM(config).to(torch.bfloat16)
        model.set_output_embeddings(LabelHead(model.get_output_embeddings(), token_ids))
    else:
        model = load_base_model(resolve_base_model(base), base, token_ids)
    model = apply_peft_adapters(model.to(device()).train(), params.lora, base)
    use_packed_attention(model, "training", row_attention())
    fuse_or_stop(model)
    return model


def judge(model: torch.nn.Module, data: dict, n_accounts: int) -> str:
    """Return what the model and TF-IDF have right of the test rows."""
    scored = TrainedModel(model.merge_and_unload().eval(), [""] * n_accounts, packed=True)
    logits = score_rows(scored, data["test"].input_ids, 16384, None, "score")
    labels = np.array(data["test"].labels)
    right = logits.argmax(1) == labels
    top3 = (np.argsort(-logits, 1)[:, :3] == labels[:, None]).any(1)
    known = labels >= 0
    loss = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits[known]), torch.from_numpy(labels[known])
    )
    baseline = data["baseline_right"]
    only_model, only_baseline = (right & ~baseline).sum(), (~right & baseline).sum()
    return (
        f"accuracy {right.mean():.4f}, top 3 {top3.mean():.4f}, log loss {float(loss):.3f} on "
        f"{len(labels):,} test rows; TF-IDF {baseline.mean():.4f} (of {data['baseline_rows']:,} "
        f"rows); only the model is right: {only_model:,}, only TF-IDF: {only_baseline:,}"
    )


def measure(kit: Path, which: str, seconds: float, tiny: bool) -> dict[str, object]:
    """Train and score; return the rows a second, the memory, and the comparison in words."""
    data, section = load_rows(kit / "data.npz", tiny), load_params(training=TrainingParams).training
    set_seed(section.seed)
    token_ids = data["label_ids"].astype(int).tolist()
    model = make_model(token_ids, data["tokens"], tiny)
    rows = data[which]
    training = section.model_copy(
        update={
            "packed": True,
            "train_batch_tokens": 192 if tiny else 4096,
            "num_train_epochs": PASSES[which],
            "learning_rate": 2.5e-3,
            "warmup_steps": 2 if tiny else 40,
        }
    )
    clock = Clock(seconds)
    n_steps = train(model, rows, training, clock=clock)
    if n_steps <= WARM_UP_STEPS:
        raise RuntimeError(f"{n_steps} steps took all {seconds:.0f} s")
    done = n_steps / clock.expected
    rate = PASSES[which] * len(rows) * (clock.steps - WARM_UP_STEPS) / clock.expected
    early = "" if done == 1 else f"ended early, after {done:.0%} of {clock.expected:,} steps; "
    return {
        "rows": rate / clock.seconds,
        "tokens": rate / clock.seconds * float(np.mean(rows.lengths)),
        "memory": peak_memory(),
        "remark": f"{len(rows):,} rows, {PASSES[which]} passes: {early}"
        + judge(model, data, len(token_ids)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.ledger", description=__doc__.splitlines()[0]
    )
    parser.add_argument("kit", type=Path, help="the folder that prepare has made")
    parser.add_argument("which", choices=PASSES)
    parser.add_argument("--seconds", type=float, default=120, help="longest training (120)")
    parser.add_argument("--tiny", action="store_true", help="two small layers, random weights")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    found = measure(arguments.kit, arguments.which, arguments.seconds, arguments.tiny)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
