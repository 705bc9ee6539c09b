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

import datasets
import numpy as np
import torch
import transformers
from huggingface_hub import save_torch_state_dict
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import EarlyStoppingCallback, TrainingArguments

from stages.lib.checksums import file_sha256
from stages.lib.errors import UserError
from stages.lib.model.base_model import pin_revision, resolve_base_model
from stages.lib.model.batches import pad_right
from stages.lib.model.checkpoints import newest_sealed_checkpoint, run_key
from stages.lib.model.scoring import LABEL_MAP, MANIFEST, load_base_model
from stages.lib.model.trainer import CheckOptimizer, LabelTrainer, LiveMetrics, SealCheckpoints
from stages.lib.model.trunk import decoder_layers, drop_trunk, pad_states, trunk_states
from stages.lib.params.deepspeed import DeepSpeedParams, check_precision
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams
from stages.lib.process import only_one, run_stage

INPUT = Path("data/tokenize")
OUTPUT = Path("models/train")
METRICS = Path("metrics/train")
IS_MAIN = int(os.environ.get("RANK", "0")) == 0


def check_launch(world_size: int, n_rows: int, n_devices: int, local_world_size: int) -> None:
    """Raise a UserError where more processes were started than there is work or devices for."""
    where = "params_train.yaml: training.launcher"
    if world_size > n_rows:
        raise UserError(
            f"{where}: {world_size} processes for {n_rows} training rows; start at most one a row"
        )
    if n_devices and local_world_size > n_devices:
        raise UserError(
            f"{where}: {local_world_size} processes for {n_devices} GPU(s) of this machine; "
            f"set --nproc_per_node={n_devices}"
        )


def instantiate_model(
    model: ModelParams, label_token_ids: list[int], *, all_weights: bool, checkpointing: bool
) -> nn.Module:
    """Return the base model in training mode, with one logit a label token.

    Weights that are trained themselves (`all_weights`) are float32, whatever ``model.dtype`` says:
    a step of the optimizer would be lost in the rounding of bfloat16.
    """
    stored = model.model_copy(update={"dtype": "float32"}) if all_weights else model
    loaded = load_base_model(resolve_base_model(model), stored, label_token_ids)
    if checkpointing:
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
    if lora.enabled and lora.top_layers < n_layers and lora.bias == "all":
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
    settings = lora.model_dump(exclude={"enabled", "train_label_head", "top_layers"})
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


def unfreeze(model: nn.Module, n_frozen: int, train_label_head: bool) -> nn.Module:
    """Return `model` with all weights trainable, but the lowest `n_frozen` layers and what is
    below them, and the label head unless `train_label_head`.
    """
    model.requires_grad_(True)
    model.get_output_embeddings().requires_grad_(train_label_head)
    if n_frozen:
        model.get_input_embeddings().requires_grad_(False)
    for layer in list(decoder_layers(model))[:n_frozen]:
        layer.requires_grad_(False)
    return model


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
    zero, where = deepspeed.zero_optimization, "params_train.yaml: deepspeed"
    if deepspeed.bf16.enabled and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise UserError(
            f"{where}.bf16.enabled: {torch.cuda.get_device_name()} has no bfloat16; set it to "
            "false, and model.dtype: float32"
        )
    settings = zero.model_dump()
    if zero.stage == 3:  # else checkpoints would lack the adapter as a file of its own
        settings["stage3_gather_16bit_weights_on_model_save"] = True
    # The optimizer is ours (configure_optimizer), so DeepSpeed must not swap in its own, which
    # would need a compiler for offloading; the adapters are so small that this costs nothing.
    return {
        "zero_optimization": settings,
        "bf16": {"enabled": deepspeed.bf16.enabled},
        "gradient_clipping": training.max_grad_norm,
        "train_micro_batch_size_per_gpu": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }


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
    model: nn.Module,
    training: TrainingParams,
    deepspeed: dict | None,
    bf16: bool,
    sides: dict[str, datasets.Dataset],
    states: torch.Tensor | None,
    scratch: Path,
) -> None:
    """Train `model` in place, from the newest whole checkpoint in `scratch` if there is one."""
    ours = {"launcher", "gradient_checkpointing", "label_smoothing", "train_batch_tokens"}
    ours |= {"max_eval_rows", "keep_best", "early_stopping_patience"}
    best = {}
    if training.keep_best:
        best = {"metric_for_best_model": training.keep_best.replace("val_", "eval_")}
        best |= {"greater_is_better": training.keep_best == "val_accuracy"}
    arguments = TrainingArguments(
        output_dir=str(scratch),
        deepspeed=deepspeed,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        report_to="none",
        **best,
        **training.model_dump(exclude=ours),
    )
    callbacks = [
        LiveMetrics(METRICS),
        SealCheckpoints(),
        CheckOptimizer(training.learning_rate, training.weight_decay),
    ]
    if training.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(training.early_stopping_patience))
    trainer = LabelTrainer(
        label_smoothing=training.label_smoothing,
        train_batch_tokens=training.train_batch_tokens,
        make_optimizer=partial(configure_optimizer, training=training),
        model=model,
        args=arguments,
        train_dataset=sides["train"],
        eval_dataset=sides["val"],
        data_collator=partial(collate, states=states),
        compute_metrics=validation_accuracy,
        callbacks=callbacks,
    )
    checkpoint = newest_sealed_checkpoint(scratch, clean=IS_MAIN)
    if checkpoint and IS_MAIN:
        print(f"going on from {checkpoint.name}", flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.best_model_checkpoint:
        trainer.load_best_model()
        if IS_MAIN:
            print(f"the best {training.keep_best} is that of step {trainer.state.best_global_step}")


def library_versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "peft")}


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the trained weights on the CPU, whole, in the precision they were trained in.

    DeepSpeed shares the float32 weights out among the ranks, so all of them have to call this;
    only the main one gets the weights.
    """
    weights = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        whole = weight.detach()
        if hasattr(weight, "_hp_mapping") or hasattr(weight, "ds_id"):
            from deepspeed.utils import safe_get_full_fp32_param

            whole = safe_get_full_fp32_param(weight)
        if IS_MAIN:
            weights[name] = whole.to("cpu", copy=True).contiguous()
    return weights


def save_adapter(
    model: PeftModel, weights: dict[str, torch.Tensor], base: ModelParams, folder: Path
) -> None:
    """Write the LoRA adapter to `folder`, the same bytes for the same weights."""
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config_path = folder / "adapter_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.name, "revision": base.revision}
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft keeps a set, whose order differs from run to run
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_model(
    model: nn.Module, weights: dict[str, torch.Tensor], base: ModelParams, folder: Path
) -> None:
    """Write the trained weights, the label map and the manifest to `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(model, PeftModel):
        save_adapter(model, weights, base, folder)
    else:
        dtype = getattr(torch, base.dtype)
        save_torch_state_dict({name: w.to(dtype) for name, w in weights.items()}, folder)
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
    if errors := check_precision(params.deepspeed, params.model):
        raise errors[0]
    deepspeed = configure_deepspeed(params.deepspeed, params.training, params.model)
    sides = load_sides(params.training)
    world_size, local = (int(os.environ.get(n, "1")) for n in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    check_launch(world_size, len(sides["train"]), torch.cuda.device_count(), local)
    if deepspeed and "RANK" not in os.environ:  # one process, no launcher: DeepSpeed wants MPI
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    params.model = pin_revision(params.model)
    scratch = scratch_folder(params)
    with ExitStack() as locks:
        if IS_MAIN:
            locks.enter_context(only_one(Path(".scratch/train.lock"), "a training"))
            locks.enter_context(only_one(scratch / "lock", "this very training"))
        train(params, deepspeed, sides, scratch)


def train(
    params: SimpleNamespace,
    deepspeed: dict | None,
    sides: dict[str, datasets.Dataset],
    scratch: Path,
) -> None:
    """Make the model, train it, save it, and drop the checkpoints."""
    lora, training = params.lora, params.training
    label_map = json.loads((INPUT / LABEL_MAP).read_text(encoding="utf-8"))
    transformers.set_seed(training.seed)
    model = instantiate_model(
        params.model,
        [entry["token_id"] for entry in label_map["accounts"]],
        all_weights=not lora.enabled,
        checkpointing=training.gradient_checkpointing,
    )
    n_frozen, states = n_frozen_layers(model, lora), None
    if lora.enabled:
        model = apply_peft_adapters(model, lora, params.model)
    else:
        model = unfreeze(model, n_frozen, lora.train_label_head)
    if n_frozen:
        base = model.get_base_model() if lora.enabled else model
        states = run_through_trunk(base, n_frozen, sides, scratch)
    bf16 = params.model.dtype == "bfloat16"
    run_training(model, training, deepspeed, bf16, sides, states, scratch)
    weights = trained_weights(model)
    if IS_MAIN:
        save_model(model, weights, params.model, OUTPUT)
        shutil.rmtree(scratch, ignore_errors=True)
    if torch.distributed.is_initialized():
        # Gloo's threads, where they outlive Python, abort their process now and then
        # (github.com/pytorch/pytorch/pull/179291).
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run_stage(main)
