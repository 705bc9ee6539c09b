"""Training: the loss, the order of the rows, what runs is what is configured, and every kill.

Whole trainings run as ``stages.train.main()`` in child processes forked from a server that has
imported the libraries once, so that a test can afford twenty of them.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from project import ROOT, environment, run, run_stage, set_params
from ruamel.yaml import YAML
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from stages import train
from stages.lib.errors import UserError
from stages.lib.model import trainer as training_loop
from stages.lib.model.scoring import load_trained_model, score_rows
from stages.lib.model.trainer import EpochBatches
from stages.lib.params.files import load_params
from stages.lib.process import only_one
from stages.lib.process import run_stage as exit_as_a_stage

# What is configured is what runs ----------------------------------------------------------------


def sections(folder: Path = ROOT, **values) -> SimpleNamespace:
    found = load_params(
        folder,
        lora=train.LoraParams,
        model=train.ModelParams,
        deepspeed=train.DeepSpeedParams,
        training=train.TrainingParams,
    )
    for key, value in values.items():
        section, name = key.split("__", 1)
        *path, last = name.split("__")
        changed = getattr(found, section).model_dump()
        node = changed
        for part in path:
            node = node[part]
        assert last in node
        node[last] = value
        setattr(found, section, type(getattr(found, section)).model_validate(changed))
    return found


def deepspeed_config(**values) -> dict | None:
    found = sections(deepspeed__enabled=True, **values)
    return train.configure_deepspeed(found.deepspeed, found.training, found.model)


def test_deepspeed_that_is_off_has_no_configuration():
    found = sections(deepspeed__enabled=False, deepspeed__bf16__enabled=False)
    assert train.configure_deepspeed(found.deepspeed, found.training, found.model) is None


def test_deepspeed_gets_what_the_parameters_say():
    found = deepspeed_config(
        deepspeed__zero_optimization__stage=3,
        deepspeed__zero_optimization__offload_param__device="cpu",
        training__max_grad_norm=0.5,
        training__per_device_train_batch_size=3,
        training__gradient_accumulation_steps=7,
    )
    zero = found["zero_optimization"]
    assert (zero["stage"], zero["offload_param"]) == (3, {"device": "cpu"})
    assert found["gradient_clipping"] == 0.5
    assert found["train_micro_batch_size_per_gpu"] == 3
    assert found["gradient_accumulation_steps"] == 7
    assert "optimizer" not in found and "scheduler" not in found  # those are the stage's own


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"deepspeed__zero_optimization__offload_param__device": "cpu"},
            r"zero_optimization.offload_param: .* stage 3 only, got stage 2; set stage: 3",
        ),
        (
            {"deepspeed__zero_optimization__stage": 0},
            r"zero_optimization.offload_optimizer: needs stage 1, 2 or 3, got stage 0",
        ),
        ({"model__dtype": "float32"}, r"bf16.enabled: True contradicts model.dtype: float32"),
        ({"deepspeed__bf16__enabled": False}, r"bf16.enabled: False contradicts model.dtype: bfl"),
    ],
)
def test_what_deepspeed_would_swallow_is_refused(values, expected):
    with pytest.raises(UserError, match=rf"^params_train.yaml: deepspeed\.{expected}"):
        deepspeed_config(**values)


MISPLACED = [
    "gradient_checkpointing",
    "activation_checkpointing",
    "fp16",
    "optimizer",
    "scheduler",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_force_ds_cpu_optimizer",
    "zero_allow_untested_optimizer",
    "stage",
    "offload_optimizer",
    "offload_param",
    "zero_optimization.cpu_offload",
    "zero_optimization.cpu_offload_params",
    "zero_optimization.gradient_checkpointing",
    "zero_optimization.stage3_gather_16bit_weights_on_model_save",
]


@pytest.mark.parametrize("key", MISPLACED)
def test_a_key_that_deepspeed_knows_but_that_is_set_elsewhere_is_refused(tmp_path, key):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    path = tmp_path / "params_train.yaml"
    yaml = YAML()
    content = yaml.load(ROOT / "params_train.yaml")
    *middle, last = key.split(".")
    node = content["deepspeed"]
    for part in middle:
        node = node[part]
    node[last] = True
    yaml.dump(content, path)
    with pytest.raises(UserError) as caught:
        sections(tmp_path)
    section = ".".join(["deepspeed", *middle])
    start = f"params_train.yaml: {section}: '{last}' does not belong here: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("stage", 4, "deepspeed.zero_optimization.stage: Input should be 0, 1, 2 or 3; got 4"),
        ("offload_optimizer", {"device": "nvme"}, "offload_optimizer.device: Input should be 'non"),
        ("reduce_bucket_size", 5e8, "deepspeed.zero_optimization.reduce_bucket_size: unknown key"),
    ],
)
def test_a_value_that_deepspeed_would_not_take_is_refused(tmp_path, key, value, expected):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    yaml = YAML()
    content = yaml.load(ROOT / "params_train.yaml")
    content["deepspeed"]["zero_optimization"][key] = value
    yaml.dump(content, tmp_path / "params_train.yaml")
    with pytest.raises(UserError) as caught:
        sections(tmp_path)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"training__eval_strategy": "no"}, "keep_best: val_loss needs validations and checkpo"),
        ({"training__save_strategy": "no"}, "keep_best: val_loss needs validations and checkpo"),
        (
            {"training__keep_best": None, "training__early_stopping_patience": 2},
            "early_stopping_patience: 2, but keep_best names no metric",
        ),
    ],
)
def test_a_best_step_that_could_not_be_kept_is_refused(values, expected):
    with pytest.raises(UserError, match=rf"^params_train.yaml: training\.{expected}"):
        train.check_training(sections(**values).training)


@pytest.mark.parametrize(
    ("world", "rows", "devices", "local", "expected"),
    [
        (8, 7, 0, 8, "8 processes for 7 training rows"),
        (4, 100, 2, 4, r"4 processes for 2 GPU\(s\) of this machine; set --nproc_per_node=2"),
    ],
)
def test_more_processes_than_rows_or_devices_are_refused(world, rows, devices, local, expected):
    train.check_launch(7, 7, 2, 2)
    train.check_launch(8, 8, 0, 8)
    with pytest.raises(UserError, match=expected):
        train.check_launch(world, rows, devices, local)


def small_network() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    network[2].requires_grad_(False)
    return network


def test_the_optimizer_has_the_configured_rate_and_decays_matrices_only():
    training = sections(training__learning_rate=3e-4, training__weight_decay=0.2).training
    network = small_network()
    optimizer = train.configure_optimizer(network, training)
    assert type(optimizer) is torch.optim.AdamW
    decays = {
        id(weight): group["weight_decay"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert decays == {
        id(network[0].weight): 0.2,
        id(network[0].bias): 0.0,
        id(network[1].weight): 0.0,
        id(network[1].bias): 0.0,
    }
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}


def test_target_modules_that_the_model_lacks_are_one_line(tiny_model):
    found = sections(lora__target_modules=["c_attn"], lora__top_layers=None)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with pytest.raises(UserError) as caught:
        train.apply_peft_adapters(model, found.lora, found.model)
    assert str(caught.value).startswith("params.yaml: lora.target_modules: ['c_attn'] does not fit")
    assert "down_proj, gate_proj, k_proj" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"lora__top_layers": 3}, "lora.top_layers: 3, but the model has only 2 layers"),
        ({"lora__top_layers": 1, "lora__bias": "all"}, "lora.bias: 'all' trains the biases"),
    ],
)
def test_layers_that_the_model_lacks_are_refused(tiny_model, values, expected):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with pytest.raises(UserError, match=expected):
        train.n_frozen_layers(model, sections(**values).lora)


def test_validation_counts_rows_of_unseen_accounts_as_wrong():
    logits = np.eye(4)[[0, 1, 2, 3]][:, None]
    found = train.validation_accuracy(
        SimpleNamespace(predictions=logits, label_ids=np.array([0, 1, 1, -1]))
    )
    assert found == {"accuracy": 0.5}


PLAIN = {"lora__lora_dropout": 0.0, "training__label_smoothing": 0.0}


# Whole trainings --------------------------------------------------------------------------------


def _child(folder: Path, log: Path, cpu_seconds: float, prepare: Callable | None) -> None:
    os.chdir(folder)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    if prepare:
        prepare()
    if cpu_seconds:  # nothing handles this signal: the process ends between two instructions
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    exit_as_a_stage(train.main)


@pytest.fixture(scope="session")
def trainer():
    """Yield a function that trains in a folder and returns exit code and output."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["stages.train", "dvclive", "deepspeed", "test_train"])
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "OMP_NUM_THREADS")}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    os.environ["OMP_NUM_THREADS"] = "1"

    def start(folder: Path, cpu_seconds: float = 0, prepare: Callable | None = None):
        log = folder / "train.log"
        process = server.Process(target=_child, args=(folder, log, cpu_seconds, prepare))
        process.start()
        process.join()
        return process.exitcode, log.read_text(encoding="utf-8")

    yield start
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def copy_of(tokenized: Path, folder: Path, **params) -> Path:
    shutil.copytree(tokenized, folder)
    set_params(folder, {key.replace("__", "."): value for key, value in params.items()})
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for place in ("models/train", "metrics/train")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file()
    }


def scratch(folder: Path) -> Path:
    (found,) = (folder / ".scratch").glob("train-*")
    return found


@pytest.fixture(scope="session")
def trained(tokenized, trainer, tmp_path_factory) -> Path:
    """Return a copy of the project in which `train` has run, undisturbed, dropout on."""
    folder = copy_of(tokenized, tmp_path_factory.mktemp("trained") / "project")
    code, log = trainer(folder)
    assert code == 0, log
    return folder


@pytest.fixture(scope="module")
def plain(tokenized, trainer, tmp_path_factory) -> Path:
    """Return a project trained by one process, without DeepSpeed, dropout or smoothing."""
    folder = copy_of(tokenized, tmp_path_factory.mktemp("plain") / "project", **PLAIN)
    code, log = trainer(folder)
    assert code == 0, log
    return folder


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "models/train/adapter_model.safetensors")


def curve(folder: Path, name: str) -> list[float]:
    lines = (folder / f"metrics/train/plots/metrics/{name}.tsv").read_text().splitlines()
    return [float(line.split("\t")[1]) for line in lines[1:]]


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_in_another_folder(trained, tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "elsewhere")
    done = run_stage("train", folder, PYTHONHASHSEED="3")
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(trained)
    assert {name.rpartition("/")[2] for name in results(folder)} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "label_map.json",
        "manifest.json",
        "metrics.json",
        "train_loss.tsv",
        "val_accuracy.tsv",
    }
    assert list((folder / ".scratch").glob("train-*")) == []  # a run that succeeded leaves none


def test_no_output_names_the_folder(trained):
    for name, content in results(trained).items():
        assert str(trained).encode() not in content, name


def test_it_learns(trained):
    losses = curve(trained, "train_loss")
    assert len(losses) == 10
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(np.abs(w).max() > 0 for n, w in adapter(trained).items() if "lora_B" in n)


def test_the_saved_model_is_the_trained_one(trained, tiny_model, tokenized):
    """Against the plain model: adapters added to its weights by hand, its head replaced."""
    import datasets

    saved = adapter(trained)
    config = json.loads((trained / "models/train/adapter_config.json").read_text())
    plain = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    modules = dict(plain.named_modules())
    head, used = None, set()
    for name, tensor in saved.items():
        if name.endswith("lm_head.weight"):
            head = tensor
        elif name.endswith(".lora_A.weight"):
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = saved[name.replace("lora_A", "lora_B")]
            modules[module].weight.data += config["lora_alpha"] / config["r"] * (b @ tensor)
            used.add(module)
    attention = {f"model.layers.1.self_attn.{p}_proj" for p in "qkvo"}
    assert used == attention | {f"model.layers.1.mlp.{p}_proj" for p in ("gate", "up", "down")}

    rows = datasets.load_from_disk(str(tokenized / "data/tokenize/val"))
    with torch.inference_mode():
        hidden = [
            plain.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            for ids in rows["input_ids"]
        ]
    expected = (torch.stack(hidden) @ head.T).numpy()
    model = load_trained_model(trained / "models/train", trust_remote_code=False)
    found = score_rows(model, rows["input_ids"], 100, "test")
    np.testing.assert_allclose(found, expected, atol=1e-4)

    accuracy = np.mean(found.argmax(1) == np.array(rows["label"]))
    assert curve(trained, "val_accuracy")[-1] == pytest.approx(accuracy)


def test_the_manifest_pins_base_model_versions_and_files(trained, tiny_model):
    manifest = json.loads((trained / "models/train/manifest.json").read_text())
    assert manifest["base_model"]["name"] == str(tiny_model)
    assert set(manifest["versions"]) == {"torch", "transformers", "peft"}
    names = {path.name for path in (trained / "models/train").iterdir()}
    assert set(manifest["files"]) == names - {"manifest.json"}


@pytest.mark.slow
def test_accumulated_passes_give_the_adapter_of_one_pass(tokenized, trainer, tmp_path):
    """Without dropout, whose masks differ. float32 sums in another order differ in the seventh
    digit; Adam divides by their size, so a weight with a gradient near zero may move by more."""
    common = {"lora__lora_dropout": 0.0}
    one = copy_of(tokenized, tmp_path / "one", **common)
    two = copy_of(
        tokenized,
        tmp_path / "two",
        training__per_device_train_batch_size=4,
        training__gradient_accumulation_steps=2,
        **common,
    )
    for folder in (one, two):
        code, log = trainer(folder)
        assert code == 0, log
    assert_alike(one, two)


def assert_alike(one: Path, two: Path) -> None:
    assert curve(two, "train_loss") == pytest.approx(curve(one, "train_loss"), rel=1e-3)
    first, second = adapter(one), adapter(two)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], atol=2e-3, rtol=0, msg=name)


@pytest.mark.slow
def test_the_first_loss_is_that_of_the_base_model_on_the_first_rows(plain, tiny_model):
    """Against the plain model; `plain` has no dropout, and its learning rate begins at zero."""
    import datasets

    rows = datasets.load_from_disk(str(plain / "data/tokenize/train"), keep_in_memory=True)
    label_map = json.loads((plain / "data/tokenize/label_map.json").read_text())
    tokens = [entry["token_id"] for entry in label_map["accounts"]]
    seed = sections(plain).training.seed
    first = next(iter(EpochBatches(rows["length"], 8, None, 1, 1, seed, lambda: 0)))
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    with torch.inference_mode():
        logits = [model(torch.tensor([rows[i]["input_ids"]])).logits[0, -1, tokens] for i in first]
    labels = torch.tensor([rows[i]["label"] for i in first])
    expected = float(nn.functional.cross_entropy(torch.stack(logits).double(), labels))
    assert curve(plain, "train_loss")[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_last_pass_of_one_row_has_a_loss_like_any_other(tokenized, trainer, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", training__per_device_train_batch_size=13)
    code, log = trainer(folder)
    assert code == 0, log
    losses = curve(folder, "train_loss")
    assert len(losses) == 8
    assert all(0 < loss < 10 for loss in losses)
    assert all(np.isfinite(weight).all() for weight in adapter(folder).values())


def in_step_5(fault: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let `fault` change the logits of the fifth training step."""
    sound, calls = training_loop.label_loss, []

    def loss(outputs, labels, num_items_in_batch=None, **settings):
        calls.append(torch.is_grad_enabled())
        if calls[-1] and sum(calls) == 5:
            outputs = SimpleNamespace(logits=fault(outputs.logits))
        return sound(outputs, labels, num_items_in_batch, **settings)

    training_loop.label_loss = loss


def loss_not_finite():
    in_step_5(lambda logits: logits * float("nan"))


def gradient_not_finite():
    in_step_5(lambda logits: logits + (logits * 0).abs().sqrt())  # sqrt is infinitely steep at 0


def no_memory():
    in_step_5(lambda logits: logits + torch.empty(1 << 50).sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (loss_not_finite, "step 5: the loss is not a finite number; try a smaller training.lear"),
        (gradient_not_finite, "step 5: the gradient is not a finite number; try a smaller"),
        (no_memory, "step 5: out of memory with a batch of 8 rows of "),
    ],
)
def test_a_step_that_goes_wrong_stops_the_run_and_keeps_what_was_good(
    tokenized, trainer, trained, tmp_path, fault, message
):
    folder = copy_of(tokenized, tmp_path / "project")
    code, log = trainer(folder, prepare=fault)
    assert code == 1
    assert f"error: {message}" in log
    assert "Traceback" not in log
    assert not (folder / "models/train").exists()
    assert (scratch(folder) / "checkpoint-4/sha256.json").exists()
    assert len(curve(folder, "train_loss")) == 4

    code, log = trainer(folder)  # the cause is gone: it goes on from what was good
    assert code == 0, log
    assert "going on from checkpoint-4" in log
    assert results(folder) == results(trained)


def die_before_saving_the_model():
    train.save_model = lambda *arguments: os._exit(9)


DAMAGE = {
    "truncated optimizer": lambda c: os.truncate(c / "optimizer.pt", 100),
    "no random state": lambda c: (c / "rng_state.pth").unlink(),
    "flipped adapter": lambda c: flip(c / "adapter_model.safetensors"),
    "no manifest": lambda c: (c / "sha256.json").unlink(),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_left_and_the_one_before_is_used(
    tokenized, trainer, trained, tmp_path, damage
):
    folder = copy_of(tokenized, tmp_path / "project")
    assert trainer(folder, prepare=die_before_saving_the_model)[0] == 9
    damage(scratch(folder) / "checkpoint-10")
    code, log = trainer(folder)
    assert code == 0, log
    assert "checkpoint-10 is not whole" in log
    assert "going on from checkpoint-8" in log
    assert results(folder) == results(trained)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tokenized, trainer, trained, tmp_path):
    """Moments are drawn in seconds of CPU time, from the start to behind the end of a run.

    A checkpoint is saved after every second step of ten, so many of them fall into a save.
    """
    draw = random.Random(42)
    folder = copy_of(tokenized, tmp_path / "project")
    kills, resumed, finished = 0, 0, 0
    while kills < 20 or not finished:
        seconds = draw.uniform(0.05, 3.0) if kills < 20 else 0
        code, log = trainer(folder, cpu_seconds=seconds)
        resumed += "going on from" in log
        if code == -signal.SIGPROF:
            kills += 1
            continue
        assert code == 0, log
        finished += 1
        assert results(folder) == results(trained)
        shutil.rmtree(folder / "models")  # as dvc does before it runs the stage again
        shutil.rmtree(folder / "metrics/train")
    assert resumed >= 3


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: set_params(folder, {"lora.r": 4}),
        lambda folder: set_params(folder, {"training.seed": 1}),
        lambda folder: set_params(folder, {"model.dtype": "bfloat16"}),
        lambda folder: flip(next((folder / "data/tokenize/train").glob("*.arrow"))),
        lambda folder: flip(next((folder / "data/tokenize/val").glob("*.arrow"))),
        lambda folder: flip(folder / "data/tokenize/label_map.json"),
        lambda folder: flip(folder / "stages/train.py"),
        lambda folder: flip(folder / "stages/lib/model/batches.py"),
        lambda folder: flip(folder / "stages/lib/model/trunk.py"),
    ],
)
def test_no_checkpoint_of_other_parameters_data_or_code_is_found(
    tokenized, tmp_path, monkeypatch, change
):
    folder = copy_of(tokenized, tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = train.scratch_folder(sections(folder))
    assert train.scratch_folder(sections(folder)) == before
    change(folder)
    assert train.scratch_folder(sections(folder)) != before


def test_checkpoints_of_a_queued_experiment_lie_in_the_original_repository(
    tokenized, tmp_path, monkeypatch
):
    monkeypatch.chdir(tokenized)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert train.scratch_folder(sections(tokenized)).parent == tmp_path / ".scratch"


def test_a_second_training_at_once_is_refused(tokenized, tmp_path, monkeypatch):
    folder = copy_of(tokenized, tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    message = rf"a training is already running .*{os.getpid()}"
    with (
        only_one(folder / ".scratch/train.lock", "a training"),
        pytest.raises(UserError, match=message),
    ):
        train.main()
    assert not (folder / "models").exists()


@pytest.mark.slow
def test_a_killed_dvc_takes_the_training_with_it(tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", training__num_train_epochs=100_000)
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        assert run(command, folder).returncode == 0
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "train"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "'loss'" in line:
            break
    else:
        pytest.fail("".join(seen))
    stage = psutil.Process(int((folder / ".scratch/train.lock").read_text()))
    process.kill()
    process.wait()
    assert psutil.wait_procs([stage], timeout=60)[1] == []


# Variants ---------------------------------------------------------------------------------------

VARIANTS = {
    "all weights": {"lora__enabled": False, "training__learning_rate": 3e-3},
    "upper layer's weights": {"lora__enabled": False, "training__learning_rate": 3e-3},
    "rsLoRA": {"lora__use_rslora": True},
    "DoRA": {"lora__use_dora": True},
    "DoRA in bfloat16": {"lora__use_dora": True, **{"model__dtype": "bfloat16"}},
    "attention only, biases": {"lora__target_modules": ["q_proj", "v_proj"], "lora__bias": "all"},
    "frozen head": {"lora__train_label_head": False},
    "batches of tokens": {"training__train_batch_tokens": 150},
    "bfloat16": {"model__dtype": "bfloat16"},
    "cosine": {"training__lr_scheduler_type": "cosine"},
    "best accuracy": {"training__keep_best": "val_accuracy"},
    "best step between checkpoints": {"training__save_steps": 50},
    "gradient checkpointing": {"training__gradient_checkpointing": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_learns_saves_and_reloads(tokenized, trainer, tmp_path, variant):
    import datasets

    values = {"lora__top_layers": None, **VARIANTS[variant]}
    if variant == "upper layer's weights":
        values["lora__top_layers"] = 1
    folder = copy_of(tokenized, tmp_path / "project", training__num_train_epochs=4, **values)
    code, log = trainer(folder)
    assert code == 0, log
    losses = curve(folder, "train_loss")
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])

    metric = values.get("training__keep_best", "val_loss")
    best = (max if metric == "val_accuracy" else min)(curve(folder, metric))
    rows = datasets.load_from_disk(str(folder / "data/tokenize/val"))
    model = load_trained_model(folder / "models/train", trust_remote_code=False)
    scores = torch.from_numpy(score_rows(model, rows["input_ids"], 100, "test"))
    labels = torch.tensor(rows["label"])
    found = {
        "val_loss": float(nn.functional.cross_entropy(scores, labels)),
        "val_accuracy": float((scores.argmax(1) == labels).float().mean()),
    }
    tolerance = 1e-4 if values.get("model__dtype") is None else 3e-2  # merged, then rounded
    assert found[metric] == pytest.approx(best, rel=tolerance)
    best_step = json.loads((folder / "metrics/train/metrics.json").read_text())["best_step"]
    assert curve(folder, metric)[best_step // 2 - 1] == best  # validated after every second step


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_no_longer_improves(tokenized, trainer, tmp_path):
    folder = copy_of(
        tokenized,
        tmp_path / "project",
        training__num_train_epochs=60,
        training__learning_rate=0.1,
        training__early_stopping_patience=3,
    )
    code, log = trainer(folder)
    assert code == 0, log
    losses = curve(folder, "val_loss")
    assert int(np.argmin(losses)) == len(losses) - 4  # three validations later it ended
    assert len(curve(folder, "train_loss")) < 300


DEEPSPEED = {"deepspeed__enabled": True, **PLAIN}


@pytest.mark.slow
def test_deepspeed_runs_without_a_launcher_and_gives_the_same_model(plain, tokenized, tmp_path):
    folder = copy_of(tokenized, tmp_path / "project", **DEEPSPEED)
    done = run_stage("train", folder)
    assert done.returncode == 0, done.stderr
    assert_alike(plain, folder)


def torchrun(folder: Path, *options: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", *options]
    return [*launcher, "-m", "stages.train"]


STAGES = {
    "no DeepSpeed": {"deepspeed__enabled": False},
    "ZeRO-1": {"deepspeed__zero_optimization__stage": 1},
    "ZeRO-2": {"deepspeed__zero_optimization__stage": 2},
    "ZeRO-2, no offload": {"deepspeed__zero_optimization__offload_optimizer__device": "none"},
    "ZeRO-3": {"deepspeed__zero_optimization__stage": 3},
    "ZeRO-3, parameters offloaded": {
        "deepspeed__zero_optimization__stage": 3,
        "deepspeed__zero_optimization__offload_param__device": "cpu",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_give_the_model_of_one_plain_process(plain, tokenized, tmp_path, stage):
    """Same global batch, no dropout (its masks differ from rank to rank). The ranks add gradients
    in another order than one process, and Adam divides by their size: see `assert_alike`."""
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED, **STAGES[stage]}
    folder = copy_of(tokenized, tmp_path / "project", **values)
    done = run(torchrun(folder, "--standalone", "--nproc_per_node=2"), folder)
    assert done.returncode == 0, done.stderr
    assert_alike(plain, folder)


@pytest.mark.slow
def test_two_nodes_that_meet_by_network_give_the_model_of_one_process(plain, tokenized, tmp_path):
    """Each node has a checkout of its own, as hosts have; the first writes the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv-backend=c10d", "--rdzv-id=test"]
    options += [f"--rdzv-endpoint=127.0.0.1:{port}", "--local-addr=127.0.0.1"]
    values = {"training__per_device_train_batch_size": 4, **DEEPSPEED}
    folders = [copy_of(tokenized, tmp_path / name, **values) for name in ("one", "two")]
    nodes = [
        subprocess.Popen(
            torchrun(folder, *options),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    logs = [node.communicate(timeout=600)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "".join(logs)
    wrote = [folder for folder in folders if (folder / "models/train").exists()]
    assert len(wrote) == 1
    assert_alike(plain, wrote[0])


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_deepspeed_run_goes_on(tokenized, tmp_path, stage):
    values = {"training__per_device_train_batch_size": 4, "training__num_train_epochs": 4}
    values |= {**DEEPSPEED, "deepspeed__zero_optimization__stage": stage}
    whole = copy_of(tokenized, tmp_path / "whole", **values)
    killed = copy_of(tokenized, tmp_path / "killed", **values)
    command = torchrun(killed, "--standalone", "--nproc_per_node=2")
    done = run(command, whole)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        command, cwd=killed, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while not list(killed.glob(".scratch/train-*/checkpoint-6/sha256.json")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    for child in [*psutil.Process(process.pid).children(recursive=True), process]:
        child.kill()
    process.wait()
    done = run(command, killed)
    assert done.returncode == 0, done.stderr
    assert "going on from checkpoint-" in done.stdout
    assert results(killed) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_stopped_run_fails_leaves_no_orphan_and_goes_on(
    tokenized, trained, tmp_path, number, ranks
):
    folder = copy_of(tokenized, tmp_path / "project")
    command = [sys.executable, "-m", "stages.train"]
    if ranks == 2:
        command = torchrun(folder, "--standalone", "--nproc_per_node=2")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(folder.glob(".scratch/train-*/checkpoint-2/sha256.json")):
        assert process.poll() is None
        time.sleep(0.01)
    family = [*psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not (folder / "models/train").exists()
    if ranks == 1:
        assert ("error: interrupted" in errors) == (number == signal.SIGINT)
        assert "Traceback" not in errors
        done = run(command, folder)
        assert done.returncode == 0, done.stderr
        assert "going on from checkpoint-" in done.stdout
        assert results(folder) == results(trained)
