"""Fine-tune the base model: LoRA adapters, the Hugging Face Trainer, DeepSpeed when switched on.

Reads data/tokenize and the base model. Writes models/train (adapter, label map, manifest) and
metrics/train (loss curve and validation metrics, live). Parameters: lora, model, deepspeed,
training. Started by the launcher that ``training.launcher`` names, in one process or several.

A killed run goes on from its newest whole checkpoint. Checkpoints live in .scratch/, under the
name of the parameters, data and code that made them, and are deleted when the run succeeds.
"""

import json
import os
import shutil
import sys
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal

import datasets
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from pydantic import Field
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from stages.lib.model.base_model import ModelParams, file_sha256, locked, resolve_base_model
from stages.lib.model.batches import pad_right
from stages.lib.model.checkpoints import newest_sealed_checkpoint, run_key, seal_checkpoint
from stages.lib.model.process import only_one, stop_when_dvc_dies
from stages.lib.model.scoring import LABEL_MAP, MANIFEST, load_base_model
from stages.lib.model.trunk import decoder_layers, drop_trunk, pad_states, trunk_states
from stages.lib.params import Section, UserError, load_params, run_stage

INPUT = Path("data/tokenize")
OUTPUT = Path("models/train")
METRICS = Path("metrics/train")
IS_MAIN = int(os.environ.get("RANK", "0")) == 0


class LoraParams(Section):
    r: int = Field(ge=1, le=1024)
    lora_alpha: int = Field(ge=1)
    lora_dropout: float = Field(ge=0, lt=1)
    target_modules: Literal["all-linear"] | list[str]
    bias: Literal["none", "all", "lora_only"]
    task_type: Literal["CAUSAL_LM"]
    train_label_head: bool
    top_layers: int | None = Field(ge=1)


class OffloadParams(Section):
    device: Literal["none", "cpu"]


class ZeroParams(Section):
    stage: Literal[0, 1, 2, 3]
    offload_optimizer: OffloadParams
    offload_param: OffloadParams


class BF16Params(Section):
    enabled: bool


class DeepSpeedParams(Section):
    enabled: bool
    zero_optimization: ZeroParams
    bf16: BF16Params


class TrainingParams(Section):
    launcher: str = Field(min_length=1)
    learning_rate: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    num_train_epochs: float = Field(gt=0)
    per_device_train_batch_size: int = Field(ge=1)
    per_device_eval_batch_size: int = Field(ge=1)
    gradient_accumulation_steps: int = Field(ge=1)
    gradient_checkpointing: bool
    max_grad_norm: float = Field(gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"]
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0, lt=1)
    logging_steps: int = Field(ge=1)
    eval_strategy: Literal["no", "steps", "epoch"]
    eval_steps: int = Field(ge=1)
    max_eval_rows: int = Field(ge=1)
    save_strategy: Literal["no", "steps", "epoch"]
    save_steps: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**32)


def instantiate_model(
    model: ModelParams, label_token_ids: list[int], gradient_checkpointing: bool
) -> nn.Module:
    """Return the base model in training mode, with one logit a label token."""
    loaded = load_base_model(resolve_base_model(model), model, label_token_ids)
    if gradient_checkpointing:
        loaded.gradient_checkpointing_enable({"use_reentrant": False})
    return loaded.train()


def n_frozen_layers(model: nn.Module, lora: LoraParams) -> int:
    """Return how many of the lowest layers get no adapters.

    Raises
    ------
    UserError
        The model has fewer layers than ``lora.top_layers``, or ``lora.bias`` trains all of them.
    """
    if lora.top_layers is None:
        return 0
    n_layers = len(decoder_layers(model))
    if lora.top_layers > n_layers:
        raise UserError(
            f"params.yaml: lora.top_layers: {lora.top_layers}, but the model has only {n_layers} "
            "layers; set it to null for all of them"
        )
    if lora.top_layers < n_layers and lora.bias == "all":
        raise UserError(
            "params.yaml: lora.bias: 'all' trains the biases of every layer; "
            "set lora.top_layers to null, or bias to none or lora_only"
        )
    return n_layers - lora.top_layers


def linear_module_names(model: nn.Module) -> list[str]:
    linear = (name for name, part in model.named_modules() if isinstance(part, nn.Linear))
    return sorted({name.rpartition(".")[2] for name in linear})


def apply_peft_adapters(model: nn.Module, lora: LoraParams, base: ModelParams) -> PeftModel:
    """Return `model` with frozen weights and trainable LoRA adapters (Hu et al. 2021).

    Raises
    ------
    UserError
        No module of the model has one of the names in ``lora.target_modules``.
    """
    settings = lora.model_dump(exclude={"train_label_head", "top_layers"})
    if n_frozen := n_frozen_layers(model, lora):
        n_layers = len(decoder_layers(model))
        settings["layers_to_transform"] = list(range(n_frozen, n_layers))
        if lora.target_modules == "all-linear":  # peft takes no layers beside the word itself
            settings["target_modules"] = linear_module_names(model)
    if lora.train_label_head:
        head = model.get_output_embeddings()
        settings["modules_to_save"] = [name for name, part in model.named_modules() if part is head]
    try:
        adapted = get_peft_model(model, LoraConfig(**settings))
    except ValueError as error:
        names = linear_module_names(model)
        raise UserError(
            f"params.yaml: lora.target_modules: {lora.target_modules} does not fit {base.name} "
            f"({str(error).splitlines()[0][:120]}); its linear modules are {', '.join(names)}"
        ) from None
    # The weights of the adapters are float32; autocast rounds them for each product, which is a
    # sixth faster than widening the activations to float32, as peft would.
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def configure_optimizer(model: nn.Module, training: TrainingParams) -> torch.optim.AdamW:
    """Return AdamW over the trainable weights; vectors (norms, biases) do not decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def configure_deepspeed(
    deepspeed: DeepSpeedParams, training: TrainingParams, model: ModelParams
) -> dict | None:
    """Return the DeepSpeed configuration, or None when it is off.

    Raises
    ------
    UserError
        A setting that DeepSpeed would accept and ignore, or that contradicts another.
    """
    if not deepspeed.enabled:
        return None
    zero = deepspeed.zero_optimization
    where = "params_train.yaml: deepspeed"
    if zero.stage != 3 and zero.offload_param.device != "none":
        raise UserError(
            f"{where}.zero_optimization.offload_param: parameters are offloaded by stage 3 only, "
            f"got stage {zero.stage}; set stage: 3, or offload_param.device: none"
        )
    if zero.stage == 0 and zero.offload_optimizer.device != "none":
        raise UserError(
            f"{where}.zero_optimization.offload_optimizer: needs stage 1, 2 or 3, got stage 0; "
            "set stage: 2, or offload_optimizer.device: none"
        )
    if deepspeed.bf16.enabled != (model.dtype == "bfloat16"):
        raise UserError(
            f"{where}.bf16.enabled: {deepspeed.bf16.enabled} contradicts model.dtype: "
            f"{model.dtype}; set both to bfloat16 (true), or both to float32 (false)"
        )
    # The optimizer is ours (configure_optimizer), so DeepSpeed must not swap in its own, which
    # would need a compiler for offloading; the adapters are so small that this costs nothing.
    return {
        "zero_optimization": zero.model_dump(),
        "bf16": {"enabled": deepspeed.bf16.enabled},
        "gradient_clipping": training.max_grad_norm,
        "train_micro_batch_size_per_gpu": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }


def label_loss(
    outputs, labels: torch.Tensor, num_items_in_batch=None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the cross-entropy over the accounts at the last position of each prompt.

    Parameters
    ----------
    outputs : ModelOutput
        ``logits`` (rows, 1, K).
    labels : Tensor of int64, (rows,)
        -1: the account has no training row; such a row has no loss.
    num_items_in_batch : int or Tensor, optional
        Rows of the whole optimizer step; the loss is their mean, over all its parts.
    label_smoothing : float
        Share of the target that is spread evenly over all accounts (Szegedy et al. 2016); in
        training only, so that the validation loss stays the plain one.

    Raises
    ------
    UserError
        The loss is not a finite number: training on would destroy the model.
    """
    logits = outputs.logits[:, 0].float()
    smoothing = label_smoothing if torch.is_grad_enabled() else 0.0
    total = F.cross_entropy(
        logits, labels, ignore_index=-1, reduction="sum", label_smoothing=smoothing
    )
    if not torch.isfinite(total):
        raise UserError(
            "the loss is not a finite number; try a smaller training.learning_rate, more "
            "training.warmup_steps, or model.dtype: float32"
        )
    return total / (num_items_in_batch if num_items_in_batch is not None else len(labels))


def length_grouped_order(
    lengths: np.ndarray, rows_per_step: int, seed: int, epoch: int
) -> np.ndarray:
    """Return a random order in which the rows of one optimizer step are of like length.

    Rows are shuffled, sorted by length within 50 steps' worth, cut into steps, and the steps are
    shuffled; a step has the same rows whether one process takes it or several.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    steps = []
    for start in range(0, len(order), 50 * rows_per_step):
        pool = order[start : start + 50 * rows_per_step]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        steps += [pool[i : i + rows_per_step] for i in range(0, len(pool), rows_per_step)]
    whole = [step for step in steps if len(step) == rows_per_step]
    rest = [step for step in steps if len(step) < rows_per_step]
    shuffled = [whole[i] for i in random.permutation(len(whole))]
    return np.concatenate(shuffled + rest)


class LengthGroupedSampler(torch.utils.data.Sampler):
    """Rows in `length_grouped_order`, another one each epoch, the same after a resume."""

    def __init__(self, lengths: list[int], rows_per_step: int, seed: int):
        self.lengths, self.rows_per_step, self.seed = np.asarray(lengths), rows_per_step, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self):
        order = length_grouped_order(self.lengths, self.rows_per_step, self.seed, self.epoch)
        return iter(order.tolist())


class LabelTrainer(Trainer):
    """The Trainer with the optimizer of `configure_optimizer` and rows grouped by length."""

    def __init__(self, *, training: TrainingParams, **kwargs):
        self.training = training
        loss = partial(label_loss, label_smoothing=training.label_smoothing)
        super().__init__(**kwargs, compute_loss_func=loss)
        # Else the first row of every pass would not count as an item of the loss, as if labels
        # were a text to be shifted by one: wrong by 1/rows, infinite for a pass of one row.
        self._loss_shifts_labels = False

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = configure_optimizer(self.model, self.training)
        return self.optimizer

    def _get_train_sampler(self, train_dataset=None) -> LengthGroupedSampler:
        rows = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(
            self.train_dataset["length"], rows * self.args.world_size, self.training.seed
        )


def collate(rows: list[dict], states: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Return the model's inputs for `rows`, and their labels, int64 (rows,).

    With `states`, the hidden states behind the frozen layers, these take the place of the tokens;
    a row's own begin at ``row["start"]``.
    """
    if states is None:
        inputs = pad_right([row["input_ids"] for row in rows])
    else:
        inputs = pad_states([states[row["start"] :][: row["length"]] for row in rows])
    return {**inputs, "labels": torch.tensor([row["label"] for row in rows])}


def validation_accuracy(prediction) -> dict[str, float]:
    """Return the accuracy; a row whose account has no training row counts as wrong."""
    logits = prediction.predictions[:, 0]
    return {"accuracy": float((logits.argmax(-1) == prediction.label_ids).mean())}


def fixed_subset(dataset: datasets.Dataset, max_rows: int, seed: int) -> datasets.Dataset:
    """Return at most `max_rows` rows, always the same ones, longest prompt first."""
    keep = np.random.default_rng(seed).permutation(len(dataset))[:max_rows]
    lengths = np.asarray(dataset["length"])[keep]
    return dataset.select(keep[np.lexsort((keep, -lengths))])


class LiveMetrics(TrainerCallback):
    """Record the curves with dvclive, by optimizer step; after a resume, from the start again."""

    NAMES: ClassVar = {
        "loss": "train_loss",
        "eval_loss": "val_loss",
        "eval_accuracy": "val_accuracy",
    }

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            from dvclive import Live

            self.live = Live(str(METRICS), dvcyaml=None, save_dvc_exp=False)
            for entry in state.log_history:
                self.record(entry, entry["step"])

    def record(self, logs: dict, step: int) -> None:
        found = {name: logs[key] for key, name in self.NAMES.items() if key in logs}
        if found:
            self.live.step = step
            for name, value in found.items():
                self.live.log_metric(name, value)
            self.live.make_summary()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            self.record(logs, state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.live.end()


class SealCheckpoints(TrainerCallback):
    """Mark each checkpoint as whole once every rank has written its part."""

    def on_save(self, args, state, control, **kwargs):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            seal_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class CheckOptimizer(TrainerCallback):
    """Stop unless the optimizer that runs is the one configured."""

    def __init__(self, training: TrainingParams):
        self.training = training

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        inner = optimizer
        while not isinstance(inner, torch.optim.AdamW) and hasattr(inner, "optimizer"):
            inner = inner.optimizer
        decay = {group["weight_decay"] for group in optimizer.param_groups} - {0.0}
        base_rates = {group.get("initial_lr", group["lr"]) for group in optimizer.param_groups}
        expected = {self.training.weight_decay} - {0.0}
        wanted = base_rates == {self.training.learning_rate} and decay == expected
        if type(inner) is not torch.optim.AdamW or not wanted:
            raise RuntimeError(
                f"the optimizer that runs is {type(inner).__name__} with learning rate "
                f"{base_rates} and weight decay {decay}, not the one configured"
            )


def load_sides(training: TrainingParams) -> dict[str, datasets.Dataset]:
    """Return the training rows and the validation rows that are used during training."""
    # In memory, because a mapped dataset would write its caches beside its files, a DVC output.
    sides = {
        side: datasets.load_from_disk(str(INPUT / side), keep_in_memory=True)
        for side in ("train", "val")
    }
    sides["val"] = fixed_subset(sides["val"], training.max_eval_rows, training.seed)
    return sides


def run_through_trunk(
    model: nn.Module, n_frozen: int, sides: dict[str, datasets.Dataset], scratch: Path
) -> torch.Tensor:
    """Run all rows through the frozen layers, take these out of `model`, return the states.

    Each side gains the column ``start``, where a row's states begin. Of several ranks one computes
    and the others wait for it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = datasets.concatenate_datasets([sides["train"], sides["val"]])
    starts = np.cumsum([0, *rows["length"]])[:-1]
    path = scratch / "trunk.bin"
    with locked(path):
        states = trunk_states(model.to(device), n_frozen, rows["input_ids"], path)
    drop_trunk(model, n_frozen)
    n_train = len(sides["train"])
    sides["train"] = sides["train"].add_column("start", starts[:n_train])
    sides["val"] = sides["val"].add_column("start", starts[n_train:])
    return states


def run_training(
    model: PeftModel,
    training: TrainingParams,
    deepspeed: dict | None,
    bf16: bool,
    sides: dict[str, datasets.Dataset],
    states: torch.Tensor | None,
    scratch: Path,
) -> None:
    """Train `model` in place, from the newest whole checkpoint in `scratch` if there is one."""
    arguments = TrainingArguments(
        output_dir=str(scratch),
        deepspeed=deepspeed,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        save_total_limit=2,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        report_to="none",
        **training.model_dump(
            exclude={"launcher", "gradient_checkpointing", "label_smoothing", "max_eval_rows"}
        ),
    )
    trainer = LabelTrainer(
        training=training,
        model=model,
        args=arguments,
        train_dataset=sides["train"],
        eval_dataset=sides["val"],
        data_collator=partial(collate, states=states),
        compute_metrics=validation_accuracy,
        callbacks=[LiveMetrics(), SealCheckpoints(), CheckOptimizer(training)],
    )
    checkpoint = newest_sealed_checkpoint(scratch, clean=IS_MAIN)
    if checkpoint and IS_MAIN:
        print(f"going on from {checkpoint.name}", flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def library_versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "peft")}


def save_model(model: PeftModel, base: ModelParams, folder: Path) -> None:
    """Write adapter, label map and manifest to `folder`, the same bytes for the same weights."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config_path = folder / "adapter_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.name, "revision": base.revision}
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft keeps a set, whose order differs from run to run
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(INPUT / LABEL_MAP, folder / LABEL_MAP)
    manifest = {
        "base_model": base.model_dump(exclude={"trust_remote_code"}),
        "versions": library_versions(),
        "files": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def scratch_folder(params: SimpleNamespace) -> Path:
    """Return the folder for checkpoints of exactly these parameters, data and code."""
    root = Path(os.environ.get("DVC_ROOT", "."))
    modules = [name.replace(".", "/") for name in sys.modules if name.startswith("stages.lib.")]
    code = [path for path in (Path(f"{name}.py") for name in modules) if path.is_file()]
    values = {name: section.model_dump() for name, section in vars(params).items()}
    values["versions"] = library_versions()
    files = [*INPUT.rglob("*.arrow"), INPUT / LABEL_MAP, Path("stages/train.py"), *code]
    key = run_key(values, files)
    return root / ".scratch" / f"train-{key}"


def main() -> None:
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    deepspeed = configure_deepspeed(params.deepspeed, params.training, params.model)
    if deepspeed and "RANK" not in os.environ:  # one process, no launcher: DeepSpeed wants MPI
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    stop_when_dvc_dies()
    scratch = scratch_folder(params)
    with ExitStack() as locks:
        if IS_MAIN:
            locks.enter_context(only_one(Path(".scratch/train.lock"), "a training"))
            locks.enter_context(only_one(scratch / "lock", "this very training"))
        train(params, deepspeed, scratch)


def train(params: SimpleNamespace, deepspeed: dict | None, scratch: Path) -> None:
    """Make the model, train it, save it, and drop the checkpoints."""
    label_map = json.loads((INPUT / LABEL_MAP).read_text(encoding="utf-8"))
    transformers.set_seed(params.training.seed)
    token_ids = [entry["token_id"] for entry in label_map["accounts"]]
    model = instantiate_model(params.model, token_ids, params.training.gradient_checkpointing)
    sides, states = load_sides(params.training), None
    n_frozen = n_frozen_layers(model, params.lora)
    model = apply_peft_adapters(model, params.lora, params.model)
    if n_frozen:
        states = run_through_trunk(model.get_base_model(), n_frozen, sides, scratch)
    bf16 = params.model.dtype == "bfloat16"
    run_training(model, params.training, deepspeed, bf16, sides, states, scratch)
    if IS_MAIN:
        save_model(model, params.model, OUTPUT)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    run_stage(main)
