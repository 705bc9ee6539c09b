"""The team's S3 store: push and pull, every fault, secrets, sharing between repositories."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import (
    ROOT,
    environment,
    files,
    locked_outputs,
    run,
    stages_restored,
    stages_that_ran,
)
from ruamel.yaml import YAML
from s3_server import (
    BUCKET,
    S3Server,
    add_remote,
    attempt,
    commit,
    documented_lines,
    dvc,
    git,
    login,
)
from small_ledger import ledger_rows, write_ledger, write_new_rows

from stages.lib.params.files import read_yaml
from stages.lib.tables import read_table

pytestmark = pytest.mark.slow
pytest_plugins = ["team"]

OBJECTS = "team/files/md5"
MODEL = ["check", "train", "score", "evaluate"]

OUTPUTS = [
    *(f"data/{path.stem}" for path in sorted((ROOT / "stages").glob("[a-z]*.py"))),
    "models",
    "metrics",
]


def wipe(repository: Path) -> None:
    """Delete the cache and everything that came from it."""
    shutil.rmtree(repository / ".dvc/cache", ignore_errors=True)
    for output in locked_outputs(repository):
        if not output.endswith("metrics.json"):  # which git has
            path = repository / output
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# Push and pull -----------------------------------------------------------------------------------


def test_what_is_pushed_comes_back_bit_for_bit(first, copy):
    before = files(copy, *OUTPUTS)
    assert {"data/feature/base.parquet", "models/train/adapter_model.safetensors"} <= set(before)
    wipe(copy)
    assert len(files(copy, *OUTPUTS)) < len(before)
    dvc("pull", copy)
    assert files(copy, *OUTPUTS) == before


@pytest.fixture(scope="module")
def without_ledger(first, tmp_path_factory) -> tuple[Path, str, str]:
    """Return a clone that has pulled, and has no ledger: its files may not leave one machine;
    and what it printed as it reproduced the commit, and as it ran an experiment.
    """
    folder = tmp_path_factory.mktemp("without") / "clone"
    git(f"clone -q {first.parent / 'hub'} {folder}", first)
    shutil.rmtree(folder / "data/raw")
    dvc("pull", folder)
    reproduced = dvc("repro --allow-missing", folder)
    return folder, reproduced, dvc("exp run --allow-missing -S lora.r=32", folder)


def test_a_fresh_clone_pulls_by_the_documented_line_and_executes_nothing(
    clone, first, without_ledger
):
    (line,) = documented_lines("storage", "dvc pull")
    assert line.split("  ")[0] == "dvc pull && dvc repro"
    dvc("pull", clone)
    assert files(clone, *OUTPUTS) == files(first, *OUTPUTS)
    assert stages_that_ran(dvc("repro", clone)) == []
    assert "up to date" in dvc("status", clone)
    assert git("status --porcelain", clone) == ""
    # As if the experiment had run here once: so that DVC only tells which stages it takes.
    shutil.copytree(without_ledger[0] / ".dvc/cache", clone / ".dvc/cache", dirs_exist_ok=True)
    printed = dvc("exp run -S lora.r=32", clone)
    assert stages_that_ran(printed) == [] and stages_restored(printed) == MODEL


def test_a_fresh_clone_without_the_ledger_executes_nothing(without_ledger):
    _, reproduced, experiment = without_ledger
    assert stages_that_ran(reproduced) == []
    assert stages_that_ran(experiment) == MODEL


def test_a_fresh_clone_in_one_command_executes_nothing(clone):
    output = dvc("repro --pull --allow-missing", clone)
    assert "up to date" in output and stages_that_ran(output) == []


# Faults ------------------------------------------------------------------------------------------

WRONG_KEYS = {
    "Forbidden": login(secret="wrong"),
    "Unable to locate credentials": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    "Access Denied": login("reader"),
}


def test_with_a_wrong_key_or_a_readers_nothing_is_pushed_and_the_message_says_so(copy, s3):
    dvc(f"remote modify store url s3://{BUCKET}/wrong-keys", copy)  # where nothing is yet
    for message, keys in WRONG_KEYS.items():
        done = attempt("push", copy, **keys)
        assert done.returncode != 0
        assert message in done.stderr
        assert s3.entries("wrong-keys") == []
    assert "failed to upload" in done.stderr
    assert "pushed" in dvc("push", copy)  # with the right key
    assert s3.entries("wrong-keys")


def test_with_an_unknown_key_nothing_is_pulled_and_with_a_readers_it_is(clone):
    done = attempt("pull train", clone, **login("nobody", "team-secret"))
    assert done.returncode != 0
    assert "Forbidden" in done.stderr
    assert not (clone / "models/train").exists()
    dvc("pull train", clone, **login("reader"))
    assert (clone / "models/train").exists()


def test_a_bucket_that_does_not_exist_is_named_and_not_made(copy, s3):
    dvc("remote modify store url s3://nowhere/team", copy)
    for command in ("push", "pull --force"):
        wipe(copy) if command != "push" else None
        done = attempt(command, copy)
        assert done.returncode != 0
        assert "bucket does not exist" in done.stderr


def test_a_server_that_is_down_is_an_error_at_once(clone, copy, s3):
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for command, repository in (("push", copy), ("pull train", clone)):
            dvc(f"remote modify store endpointurl {url}", repository)
            done = attempt(command, repository)
            assert done.returncode != 0
            assert "Could not connect to the endpoint URL" in done.stderr
    assert not (clone / "models/train").exists()
    dvc(f"remote modify store endpointurl {s3.url}", clone)
    dvc("pull train", clone)


def test_a_server_that_does_not_answer_is_an_error_after_the_time_that_the_config_sets(copy):
    assert float(config(copy)["remote.store.read_timeout"]) <= 15
    assert float(config(copy)["remote.store.connect_timeout"]) <= 15
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(100)
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        dvc(f"remote modify store endpointurl {url}", copy)
        dvc("remote modify store read_timeout 1", copy)
        done = attempt("push", copy, AWS_MAX_ATTEMPTS="1")
    assert done.returncode != 0
    assert "Read timeout on endpoint URL" in done.stderr


def config(repository: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in dvc("config --list", repository).splitlines())


# Kills in the midst ------------------------------------------------------------------------------

MANY = 240


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    """Return a repository of many files, and a server of its own that tests may kill."""
    place = tmp_path_factory.mktemp("kills")
    server = S3Server(place / "server")
    server.start()
    repository = place / "sender"
    for i in range(MANY):
        path = repository / f"data/many/{i:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([i % 256]) * 20_000 + i.to_bytes(4))
    git("init -q .", repository)
    dvc("init -q", repository)
    add_remote(repository, server.url, f"{BUCKET}/team")
    dvc("add -q data/many", repository)
    commit(repository, "many files")
    yield repository, server
    server.kill()


def start_dvc(command: str, repository: Path) -> subprocess.Popen:
    variables = environment(**login(), DVC_SITE_CACHE_DIR=f"{repository}-dvc")
    return subprocess.Popen(
        ["dvc", *command.split()],
        cwd=repository,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)


def test_a_push_whose_server_is_killed_fails_and_the_second_push_completes(many_files, tmp_path):
    repository, server = many_files
    push = start_dvc("push", repository)
    wait_for(lambda: len(server.entries(OBJECTS)) > 20, push)
    server.kill()
    output, _ = push.communicate(timeout=300)
    assert push.returncode != 0
    assert "failed to" in output or "Could not connect" in output
    server.start()
    arrived = sum(len(server.entries(f"{OBJECTS}/{two}")) for two in server.entries(OBJECTS))
    assert arrived < MANY
    dvc("push", repository)
    git(f"clone -q {repository} {tmp_path / 'receiver'}", repository)
    dvc("pull", tmp_path / "receiver")
    assert files(tmp_path / "receiver", "data").keys() >= files(repository, "data").keys()
    for name, content in files(repository, "data/many").items():
        assert (tmp_path / "receiver" / name).read_bytes() == content


def test_a_pull_killed_at_any_moment_leaves_nothing_half_and_the_second_completes(
    many_files, tmp_path
):
    repository, _ = many_files
    dvc("push", repository)
    receiver = tmp_path / "receiver"
    git(f"clone -q {repository} {receiver}", repository)
    cache = receiver / ".dvc/cache/files/md5"
    for n_files in (1, 60, 120):
        pull = start_dvc("pull", receiver)
        wait_for(lambda least=n_files: len(list(cache.glob("??/*"))) > least, pull)
        pull.send_signal(signal.SIGKILL)
        pull.wait()
    assert len(list((receiver / "data").glob("many/*"))) < MANY
    dvc("pull", receiver)
    assert files(receiver, "data/many") == files(repository, "data/many")


# Corrupt objects ---------------------------------------------------------------------------------


def key_of(file: str, repository: Path) -> str:
    """Return where the store keeps `file`."""
    url = dvc(f"get --show-url . {file}", repository).split()[-1]
    return url.removeprefix(f"s3://{BUCKET}/")


@pytest.fixture
def corrupt_model(first, s3):
    """Flip one bit of the adapter in the store; mend it afterwards."""
    key = key_of("models/train/adapter_model.safetensors", first)
    whole = s3.read(key)
    s3.write(key, whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    yield key
    s3.write(key, whole)


def test_a_corrupt_object_does_not_reach_a_workspace(corrupt_model, clone, first, s3):
    done = attempt("pull train", clone)
    assert done.returncode != 0
    assert "Checkout failed for following targets:\nmodels/train" in done.stderr
    assert not (clone / "models/train").exists()
    name = Path(corrupt_model).name
    assert not list((clone / ".dvc/cache").rglob(name))
    # The documented line that names the object.
    details = attempt("pull -v train", clone).stdout
    assert f"corrupted cache file '{clone}/.dvc/cache/files" in details

    # The documented repair: delete it and its folder's listing, push from a clone that has it.
    listing = locked_outputs(first)["models/train"]
    s3.delete(corrupt_model)
    s3.delete(f"{OBJECTS}/{listing[:2]}/{listing[2:]}")
    dvc("push", first)
    dvc("pull train", clone)
    assert files(clone, "models/train") == files(first, "models/train")


def test_a_corrupt_table_in_the_cache_is_noticed_by_the_stage_that_reads_it(copy):
    """`dvc checkout` trusts the cache; the stages do not."""
    path = copy / "data/feature/base.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    done = run([sys.executable, "-m", "stages.split"], copy)
    assert done.returncode == 1
    assert "error[damaged-file]: data/feature/base.parquet: " in done.stderr


def test_writing_through_a_file_of_the_workspace_does_not_change_the_cache(copy):
    """Not even as root, whom a read-only link would not stop."""
    outputs = files(copy, "data/feature", "data/evaluate", "models/train", "metrics")
    cached = files(copy, ".dvc/cache")
    for name in outputs:
        path = copy / name
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.write(b"overwritten in place")
    assert files(copy, ".dvc/cache") == cached
    git("restore metrics", copy)
    dvc("checkout --force", copy)
    assert files(copy, "data/feature", "data/evaluate", "models/train", "metrics") == outputs


# Secrets -----------------------------------------------------------------------------------------

SECRETS = re.compile(
    rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rb"|\b(?:aws_)?(?:secret_access_key|session_token)\b\s*[=:]\s*[\"']?[A-Za-z0-9/+=]{16,}"
    rb"|\bhf_[A-Za-z0-9]{30,}"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
EXAMPLE = b"AKIA" + b"IOSFODNN7EXAMPLE"  # from Amazon's manual


def test_the_pattern_finds_what_it_is_for():
    found = [
        EXAMPLE,
        b"    secret_access_key = " + b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        b"AWS_SECRET_ACCESS_KEY" + b"=wJalrXUtnFEMI/K7MDENG",
        b"session_token: '" + b"FwoGZXIvYXdzEXAMPLE'",
    ]
    assert all(re.search(SECRETS.pattern, text, re.I) for text in found)
    assert not re.search(
        SECRETS.pattern, b"dvc remote modify --local store secret_access_key", re.I
    )


def test_no_secret_is_in_the_history_the_lock_file_or_the_configuration():
    listed = run(["git", "rev-list", "--all", "--objects"], ROOT).stdout
    names = [line.split(" ", 1)[0] for line in listed.splitlines()]
    assert len(names) > 50
    command = ["git", "cat-file", "--batch", "--buffer"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(names).encode(), capture_output=True)
    assert len(done.stdout) > 100_000
    assert re.findall(SECRETS.pattern, done.stdout, re.I) == []
    for name in ("dvc.lock", "dvc.yaml", ".dvc/config", "params.yaml", "params_train.yaml"):
        assert re.findall(SECRETS.pattern, (ROOT / name).read_bytes(), re.I) == []


def test_keys_set_as_documented_stay_out_of_git(clone):
    lines = documented_lines("storage", "dvc remote modify --local")
    assert lines == []  # not among the lines that everybody runs
    dvc("remote modify --local store access_key_id team", clone)
    dvc("remote modify --local store secret_access_key team-secret", clone)
    assert git("status --porcelain", clone) == ""
    assert "config.local" in git("status --porcelain --ignored", clone)
    assert "team-secret" not in (clone / ".dvc/config").read_text()
    no_environment = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    dvc("pull train", clone, **no_environment)


# Sharing between repositories --------------------------------------------------------------------


def test_another_repository_imports_the_base_table_trains_on_it_and_follows_it(first, s3, tmp_path):
    """By the documented lines; the importing repository never sees the ledger's files."""
    upstream, hub = tmp_path / "upstream", tmp_path / "hub"
    git(f"clone -q --bare {first.parent / 'hub'} {hub}", first)
    git(f"clone -q {hub} {upstream}", first)
    importer = tmp_path / "importer"
    git(f"clone -q {hub} {importer}", first)
    pipeline = YAML().load(importer / "dvc.yaml")
    for stage in ("ingest", "preprocess", "feature"):
        del pipeline["stages"][stage]
    YAML().dump(pipeline, importer / "dvc.yaml")
    for line in documented_lines("storage", "dvc import"):
        dvc(line.removeprefix("dvc ").replace("URL", str(hub)), importer)
    shutil.rmtree(importer / "data/raw")
    commit(importer, "the base table comes from upstream")
    left = YAML(typ="safe").load(importer / "dvc.yaml")["stages"]
    experiment = ["split", "tokenize", "train", "score", "classify", "baseline", "evaluate"]
    assert list(left) == ["check", *experiment]
    # Without the ledger's stages nothing is missing: plain commands do.
    dvc("pull", importer)
    assert stages_that_ran(dvc("repro", importer)) == []

    write_ledger(upstream / "data/raw/ledger.csv", ledger_rows(80))
    shared = ["check", "ingest", "preprocess", "feature"]
    assert stages_that_ran(dvc("repro feature", upstream)) == shared
    dvc("push ingest feature preprocess", upstream)
    commit(upstream, "more rows")
    git("push -q origin HEAD", upstream)

    (update,) = documented_lines("storage", "dvc update")
    dvc(update.removeprefix("dvc "), importer)
    assert read_table(importer / "data/feature/base.parquet").num_rows == 80
    assert stages_that_ran(dvc("repro", importer)) == experiment
    rows = read_table(importer / "data/evaluate/predictions.parquet")
    assert rows.num_rows > 12
    assert (importer / "models/train/manifest.json").is_file()


# The registry ------------------------------------------------------------------------------------


def test_a_tagged_model_is_fetched_by_version_and_codes_elsewhere_as_it_did_here(
    first, clone, tmp_path
):
    hub = tmp_path / "hub"
    git(f"clone -q --bare {first.parent / 'hub'} {hub}", first)
    (tag,) = documented_lines("storage", "git tag")
    git(tag.removeprefix("git ").partition(" && ")[0], hub)
    (get,) = documented_lines("storage", "dvc artifacts get")
    dvc(get.removeprefix("dvc ").replace("URL", str(hub)), clone)
    released = files(clone, "released")
    made = {f"released/v1.0.0/{name.removeprefix('models/')}": content
            for name, content in files(first, "models").items()}  # fmt: skip
    assert released == made
    folders = {name.split("/")[2] for name in released if name.count("/") > 2}
    assert folders == {"train", "classify", "evaluate"}

    write_new_rows(tmp_path / "new.csv", ledger_rows(8))
    (command,) = documented_lines("storage", "python -m stages.predict")
    options = command.partition("coded.csv")[2].split()
    coded = []
    for repository, more in ((first, []), (clone, options)):
        out = tmp_path / f"{repository.name}.csv"
        arguments = [str(tmp_path / "new.csv"), str(out), *more]
        done = run([sys.executable, "-m", "stages.predict", *arguments], repository)
        assert done.returncode == 0, done.stderr
        coded.append(out.read_bytes())
    assert coded[0] == coded[1]
    assert not (clone / "models/train").exists()


def test_an_unknown_version_of_the_model_is_an_error(first, tmp_path):
    done = attempt(f"artifacts get {first} account-coder --rev v9.0.0 -o {tmp_path / 'm'}", first)
    assert done.returncode != 0 and not (tmp_path / "m").exists()
    assert "v9.0.0" in done.stderr


def test_the_artifact_is_the_folder_of_all_models():
    pipeline = read_yaml(ROOT / "dvc.yaml")
    (artifact,) = pipeline["artifacts"].values()
    outs = [out for stage in pipeline["stages"].values() for out in stage["outs"]]
    models = [out for out in outs if isinstance(out, str) and out.startswith("models/")]
    assert artifact["path"] == "models"
    assert sorted(models) == ["models/classify", "models/evaluate", "models/train"]
    assert artifact["type"] == "model" and len(artifact["desc"]) > 20
