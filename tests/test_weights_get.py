"""`harness weights get`: from its publisher, with its hash, or not at all. A server of the test stands in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import command
import pytest
import weight_files

from models import pretrained
from models.pretrained import FILES


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The publishers' folder; TORCH_HOME is elsewhere."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(pretrained, "SITES", {pretrained.TORCHVISION: address, pretrained.FACENET: address})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: command.called(["weights", "get", *arguments], monkeypatch, capsys)


def test_a_file_is_fetched_checked_and_put_in_its_place(site: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weight_files.write(site / FILES["squeeze"].file, "squeeze")
    weight_files.publish(file, "squeeze", monkeypatch)
    code, out, err = call("squeeze", "--yes")
    place = FILES["squeeze"].path
    assert code == 0 and str(place) in out and place.read_bytes() == file.read_bytes(), err
    assert place.with_name(f"{place.name}.sha256").is_file()


def test_without_yes_it_says_what_it_would_do_and_does_nothing(site: Path, call: Any) -> None:
    code, _, err = call("squeeze")
    assert code == 2 and f"would fetch {FILES['squeeze'].address}" in err and "b8a52dc0" in err and "--yes" in err


def test_another_content_is_refused_and_nothing_is_kept(site: Path, call: Any, tmp_path: Path) -> None:
    weight_files.write(site / FILES["squeeze"].file, "squeeze")
    code, _, err = call("squeeze", "--yes")
    assert code == 4 and "expected b8a52dc0: refused" in err and not (tmp_path / "home").exists()


def test_a_file_without_a_published_hash_needs_one(site: Path, call: Any) -> None:
    file = weight_files.write(site / FILES["casia"].file, "casia")
    code, _, err = call("casia", "--yes")
    assert code == 2 and "no SHA-256 is published" in err and "--sha256" in err and str(FILES["casia"].address) in err
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert call("casia", "--yes", "--sha256", "0" * 64)[0] == 4
    assert call("casia", "--yes", "--sha256", digest.upper())[0] == 0 and FILES["casia"].path.is_file()


def test_a_file_that_never_ends_is_refused(site: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weight_files.write(site / FILES["squeeze"].file, "squeeze")
    monkeypatch.setitem(FILES, "squeeze", replace(FILES["squeeze"], mib=1))
    code, _, err = call("squeeze", "--yes")
    assert code == 4 and "is larger than 1 MiB: refused" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sqeeze", "--yes"], 2, "Did you mean 'squeeze'?"),
        (["arcface", "--yes"], 2, "Get it yourself"),
        (["casia", "--yes", "--sha256", "12"], 2, "expected 64 hexadecimal digits"),
        (["vgg", "--yes", "--sha256", "0" * 64], 2, "the published one begins with 397923af"),
        (["vgg", "--yes"], 4, "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_one_line(
    site: Path, call: Any, arguments: list[str], code: int, said: str
) -> None:
    found, _, err = call(*arguments)
    assert found == code and said in err and "Traceback" not in err


def test_the_addresses_are_those_that_the_packages_themselves_fetch_from() -> None:
    import facenet_pytorch.models.inception_resnet_v1 as facenet
    from torchvision import models

    theirs = {
        "vgg": models.VGG16_Weights.IMAGENET1K_V1.url,
        "alex": models.AlexNet_Weights.IMAGENET1K_V1.url,
        "squeeze": models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url,
    }
    assert {name: FILES[name].address for name in theirs} == theirs
    source = Path(facenet.__file__).read_text()
    assert all(f"'{FILES[name].address}'" in source for name in ("vggface2", "casia"))
