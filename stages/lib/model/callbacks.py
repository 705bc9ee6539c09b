"""What happens during a training: curves are recorded, and checkpoints are sealed."""

from pathlib import Path
from typing import ClassVar

import torch
from transformers import TrainerCallback

from stages.lib.model.checkpoints import drop_old_checkpoints, seal_checkpoint


class LiveMetrics(TrainerCallback):
    """Record the curves with dvclive, by optimizer step. A resumed run records them from step 1.

    Parameters
    ----------
    folder : Path
        Of the stage's metrics.
    """

    NAMES: ClassVar = {
        "loss": "train_loss",
        "eval_loss": "val_loss",
        "eval_accuracy": "val_accuracy",
    }

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            from dvclive import Live

            self.live = Live(str(self.folder), dvcyaml=None, save_dvc_exp=False)
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
            if state.best_global_step:
                self.live.summary["best_step"] = state.best_global_step
                self.live.make_summary()
            self.live.end()


class TellLongWarmup(TrainerCallback):
    """Say before the first step that the warm-up does not end within the training."""

    def on_train_begin(self, args, state, control, **kwargs):
        steps, warmup = state.max_steps, args.warmup_steps
        if state.is_world_process_zero and warmup > steps:
            peak = f"{steps / warmup:.0%} of training.learning_rate"
            print(
                f"training.warmup_steps is {warmup:,}, and the whole training has {steps:,} steps: "
                f"the learning rate ends at {peak}; lower it to about {max(1, steps // 10):,}",
                flush=True,
            )


class SealCheckpoints(TrainerCallback):
    """Seal each checkpoint once every rank has written its part, then delete old ones."""

    def on_train_begin(self, args, state, control, **kwargs):
        if state.best_global_step:  # the path in a checkpoint is wrong if the folder has moved
            best = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best)

    def on_save(self, args, state, control, **kwargs):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            seal_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            drop_old_checkpoints(Path(args.output_dir))
