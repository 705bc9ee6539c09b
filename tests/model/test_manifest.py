"""The manifest of a trained model: every damage is told by file, every library by version."""

import json
import shutil

import pytest
from project import ROOT
from refusals import refused

from stages.lib.model.manifest import (
    changed_libraries,
    installed_version,
    library_versions,
    verify_manifest,
    write_manifest,
)

FILES = {"adapter.safetensors": b"0123456789", "label_map.json": b"{}"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        write_manifest(folder, library_versions(), base_model={"name": "a"})
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "train")


def test_the_manifest_names_base_model_libraries_and_files(folder):
    manifest = verify_manifest(folder)
    assert manifest["base_model"] == {"name": "a"}
    assert list(manifest["files"]) == sorted(FILES)
    assert manifest["versions"]["torch"] == installed_version("torch")
    assert set(manifest["versions"]) == {
        *("accelerate", "deepspeed", "gguf", "numpy", "peft"),
        *("safetensors", "tokenizers", "torch", "transformers"),
    }


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_by_name(folder, name):
    content = bytearray(FILES[name])
    content[1] ^= 1
    (folder / name).write_bytes(content)
    with refused("damaged-model", str(folder / name), "sha256"):
        verify_manifest(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with refused("damaged-model", str(folder / name), "missing"):
        verify_manifest(folder)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_manifest_that_cannot_be_read_is_refused(folder, content):
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with refused("damaged-model", str(folder / "manifest.json")) as caught:
        verify_manifest(folder)
    assert "\n" not in str(caught.value)


def test_the_libraries_are_those_that_the_file_names(tmp_path):
    path = tmp_path / "requirements-model.txt"
    path.write_text("# comment\nnumpy==1.0  # why\n\nno-such-library==3\n")
    found = library_versions(path)
    assert found == {"numpy": installed_version("numpy"), "no-such-library": "none"}
    with refused("file-not-found", "none.txt"):
        library_versions(tmp_path / "none.txt")


def test_a_library_of_another_version_is_told_but_not_another_build():
    numpy = installed_version("numpy")
    public = installed_version("torch").partition("+")[0]
    assert changed_libraries({"numpy": numpy, "torch": f"{public}+cu130"}) == []
    assert changed_libraries({"numpy": "1.0", "torch": public, "lost": "2"}) == [
        f"numpy 1.0 (installed: {numpy})",
        "lost 2 (installed: none)",
    ]
    assert json.dumps(library_versions(ROOT / "requirements-model.txt"))
