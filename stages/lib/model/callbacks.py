"""What happens during a training: progress is told, curves are recorded, checkpoints are sealed."""

import json
from pathlib import Path
from typing import ClassVar

import torch
from transformers import TrainerCallback

from stages.lib.model.checkpoints import drop_old_checkpoints, seal_checkpoint
from stages.lib.progress import Progress


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

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            self.record(logs, state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.live.end()
            report = self.report(state.log_history, state.best_global_step)
            compared = {key: report[key] for key in ("val_loss",) if key in report}
            for name, values in (("metrics", compared), ("report", report)):
                text = json.dumps(values, indent=2) + "\n"
                (self.folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")

    def report(self, history: list[dict], best_step: int | None) -> dict[str, float]:
        """Return the last training loss, and the figures of the step whose weights are saved."""
        validations = [entry for entry in history if "eval_loss" in entry]
        saved = [entry for entry in validations if entry["step"] == best_step] or validations[-1:]
        losses = [entry for entry in history if "loss" in entry]
        found = {"steps": history[-1]["step"]} if history else {}
        for entry in (*losses[-1:], *saved):
            found |= {name: entry[key] for key, name in self.NAMES.items() if key in entry}
        return found | ({"best_step": best_step} if best_step else {})


class TellProgress(TrainerCallback):
    """Say how far the training is, with the newest loss and validation accuracy."""

    def __init__(self):
        self.progress, self.losses = None, {}

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.progress = Progress("train", state.max_steps, state.global_step)
            for entry in state.log_history:
                self.losses |= entry

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.losses |= logs

    def on_step_end(self, args, state, control, **kwargs):
        if self.progress:
            self.progress.update(note=f"step {state.global_step:,}{self.figures()}")

    def on_train_end(self, args, state, control, **kwargs):
        if self.progress:
            self.close()
            print(f"{state.global_step:,} steps{self.figures()}", flush=True)

    def figures(self) -> str:
        """Return the newest figures, each after a comma."""
        names = {"loss": "loss", "eval_accuracy": "validation accuracy"}
        found = {name: self.losses[key] for key, name in names.items() if key in self.losses}
        return "".join(f", {name} {value:.3f}" for name, value in found.items())

    def close(self) -> None:
        """Remove the line, so that an error begins its own."""
        if self.progress:
            self.progress.close()


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
