"""The environment of a record: enough to judge a number, nothing of the user."""

from __future__ import annotations

import getpass
import json
import platform
import socket
from pathlib import Path

import pytest
import torch

from harness.ledger.environment import HOME, capture


def test_versions_processor_and_code_state_are_there_as_plain_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    found = json.loads(json.dumps(capture()))
    assert found["python"] == platform.python_version()
    assert found["libraries"]["torch"] == torch.__version__.split("+")[0]
    assert found["cores"] >= found["usable_cores"] >= 1
    assert found["cpu"]
    assert found["variables"] == {**found["variables"], "OMP_NUM_THREADS": "1"}
    assert "SECRET_TOKEN" not in json.dumps(found)
    if (HOME / ".git").exists():
        assert len(found["git"]["commit"]) == 40
        assert isinstance(found["git"]["dirty"], bool)
    assert (found["gpu"] is not None) is torch.cuda.is_available()


def test_nothing_names_the_machine_the_user_or_a_folder() -> None:
    text = json.dumps(capture())
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert str(HOME) not in text
    if len(getpass.getuser()) > 4:  # a short name may be a part of a word
        assert getpass.getuser() not in text
