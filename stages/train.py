"""Fine-tune the base model: LoRA adapters, the Hugging Face Trainer, DeepSpeed when switched on.

Reads data/tokenize/{train,val}, the label map and the base model. Writes models/train (adapter,
label map, manifest) and metrics/train (curves, while it trains). Parameters: lora, model,
deepspeed, training. ``training.launcher`` starts it, in one process or several.

An interrupted run resumes from its newest whole checkpoint. Checkpoints are in .scratch/, named by
the parameters, data, code and libraries that made them, and are deleted when the run succeeds.
"""

import stages.lib.openmp  # isort: skip
import stages.lib.model.quiet  # isort: skip  # noqa: F401
import json
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers

from stages.lib.contracts.tokenize import FOLDER as INPUT
from stages.lib.contracts.tokenize import LABEL_MAP
from stages.lib.contracts.train import METRICS, MODEL
from stages.lib.errors import UserError, UserErrors
from stages.lib.model.base_model import pin_revision
from stages.lib.model.checkpoints import loaded_code, scratch_folder
from stages.lib.model.deepspeed_config import compile_nothing, configure_deepspeed
from stages.lib.model.devices import check_bfloat16, check_compiler, check_packed, device_name
from stages.lib.model.fused_layers import cannot_be_fused, fuse_layers
from stages.lib.model.manifest import library_versions
from stages.lib.model.optimizer import configure_optimizer
from stages.lib.model.packed_rows import use_packed_attention
from stages.lib.model.processes import (
    check_launch,
    is_main_process,
    launched_processes,
    leave_process_group,
    name_single_process,
)
from stages.lib.model.row_threads import cpu_threads
from stages.lib.model.saved_model import save_model, trained_weights
from stages.lib.model.tokenized import load_side
from stages.lib.model.trainable_model import apply_peft_adapters, instantiate_model, unfreeze
from stages.lib.model.training_run import fixed_subset, run_training, training_arguments
from stages.lib.params.deepspeed import DeepSpeedParams, check_precision
from stages.lib.params.files import load_params
from stages.lib.params.lora import LoraParams
from stages.lib.params.model import ModelParams
from stages.lib.params.training import TrainingParams
from stages.lib.process import only_one, run_stage


def scratch_of(params: SimpleNamespace) -> Path:
    """Return the folder for checkpoints of exactly these parameters, data, code and libraries."""
    values = {name: section.model_dump() for name, section in vars(params).items()}
    values["versions"] = library_versions()
    data = [*INPUT.rglob("*.arrow"), INPUT / LABEL_MAP]
    return scratch_folder(values, [*data, Path("stages/train.py"), *loaded_code()])


def main() -> None:
    params = load_params(
        lora=LoraParams, model=ModelParams, deepspeed=DeepSpeedParams, training=TrainingParams
    )
    if errors := check_precision(params.deepspeed, params.model):
        raise UserErrors(errors)
    check_bfloat16(params.model, params.deepspeed)
    if params.training.packed:
        check_packed("training", params.model.dtype)
    if params.training.compile:
        check_compiler()
    deepspeed = configure_deepspeed(params.deepspeed, params.training)
    sides = {side: load_side(side) for side in ("train", "val")}
    if not (INPUT / LABEL_MAP).is_file():
        action = "build it with 'dvc repro tokenize'"
        raise UserError("file-not-found", INPUT / LABEL_MAP, "not found", action)
    check_launch(*launched_processes(), len(sides["train"]), torch.cuda.device_count())
    sides["val"] = fixed_subset(sides["val"], params.training.max_eval_rows, params.training.seed)
    if deepspeed:
        name_single_process()
        compile_nothing()
    params.model = pin_revision(params.model)
    scratch = scratch_of(params)
    with ExitStack() as locks:
        if is_main_process():
            locks.enter_context(only_one(Path(".scratch/train.lock"), "a training"))
            locks.enter_context(only_one(scratch / "lock", "this very training"))
        train(params, deepspeed, sides, scratch)


def train(params: SimpleNamespace, deepspeed: dict | None, sides: dict, scratch: Path) -> None:
    """Make the model, train it, save it, and delete the checkpoints."""
    lora, training = params.lora, params.training
    label_map = json.loads((INPUT / LABEL_MAP).read_text(encoding="utf-8"))
    transformers.set_seed(training.seed)
    model = instantiate_model(
        params.model,
        [entry["token_id"] for entry in label_map["accounts"]],
        all_weights=not lora.enabled,
        checkpointing=training.gradient_checkpointing,
    )
    if lora.enabled:
        model = apply_peft_adapters(model, lora, params.model)
    else:
        model = unfreeze(model, lora.train_label_head)
    if training.packed:
        use_packed_attention(model, "training")
    threads = cpu_threads(training.threads)
    torch.set_num_threads(threads)
    fused = fuse(model, params.deepspeed, training)
    alone = deepspeed is None and launched_processes()[0] == 1
    row_threads = threads if fused and alone and not training.packed else 1
    bf16 = params.model.dtype == "bfloat16"
    arguments = training_arguments(training, deepspeed, bf16, scratch)
    optimizer = partial(configure_optimizer, training=training)
    run_training(model, optimizer, training, arguments, sides, METRICS, row_threads)
    weights = trained_weights(model)
    if is_main_process():
        save_model(model, weights, params.model, INPUT / LABEL_MAP, MODEL)
        shutil.rmtree(scratch, ignore_errors=True)
    leave_process_group()


def fuse(model: torch.nn.Module, deepspeed: DeepSpeedParams, training: TrainingParams) -> bool:
    """Fuse the decoder layers where that is possible and faster, and tell whether it was done.

    Raises
    ------
    UserError
        They are to be compiled, and cannot be fused.
    """
    if device_name() == "cuda" and not training.packed:  # it has better kernels for padded rows
        return False
    reason = cannot_be_fused(model)
    if deepspeed.enabled and deepspeed.zero_optimization.stage == 3:
        reason = "ZeRO stage 3 gathers the weights module by module"
    if reason is None:
        fuse_layers(model, training.compile)
    elif training.compile:
        raise UserError(
            "cannot-compile",
            "params_train.yaml: training.compile",
            f"only fused decoder layers are compiled, and {reason}",
            "set it to false",
        )
    elif is_main_process():
        print(f"the decoder layers are not fused, which is slower: {reason}", flush=True)
    return reason is None


if __name__ == "__main__":
    run_stage(main)
