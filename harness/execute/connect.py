"""The way to a Ray cluster: its errors in one line each, and the code of this machine brought along."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError
from harness.files import HOME

PACKAGES = ("harness", "models", "metrics")
HOW = "docs/cluster.md says how"
KNOCK_S = 5.0
FOUND = ("auto", "local")  # addresses that Ray looks up itself


def connect(address: str) -> Any:
    """The module `ray`, connected to the cluster at `auto`, `local` or HOST:PORT; a connection that stands is used.

    The packages of this machine travel as the working directory of all tasks: the others need their libraries only.
    EnvironmentProblem without Ray, without a cluster, and when its Python or Ray is another.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # or `uv run` would build an environment on each node
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray warns of otherwise
    try:
        import ray
    except ImportError:
        raise EnvironmentProblem(
            "--executor ray: Ray is not installed here. Install it: pip install 'faceswap-bench[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    _knock(address)
    with code() as folder:
        try:
            environment = {"working_dir": str(folder)}
            ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError:
            raise _none_there(address) if address in FOUND else _not_let_in(address) from None
        except (RuntimeError, ValueError, OSError) as error:
            raise EnvironmentProblem(f"the Ray cluster at {address} refuses: {_said(error)}. {HOW}") from None
    return ray


def _knock(address: str) -> None:
    """Fail at once where Ray would try for minutes."""
    if address.startswith("ray://"):
        raise UsageError(f"--address {address}: Ray's client is not used. Run the command on a node of the cluster")
    if address in FOUND:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--address {address}: expected auto, local or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError):
        raise _none_there(address) from None


def _none_there(address: str) -> EnvironmentProblem:
    where = "to be found from here" if address == "auto" else f"at {address}"
    return EnvironmentProblem(f"there is no Ray cluster {where}. Start one: ray start --head ({HOW})")


def _not_let_in(address: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"something answers at {address} and lets nobody in: a Ray cluster that asks for a token, or no Ray cluster. "
        f"RAY_AUTH_MODE=token shows that of ~/.ray/auth_token ({HOW})"
    )


def _said(error: BaseException) -> str:
    """What Ray said, in one line."""
    return " ".join(str(error).split())[:300].rstrip(". ")


@contextlib.contextmanager
def code() -> Iterator[Path]:
    """A folder with the packages of this machine and nothing else."""
    with tempfile.TemporaryDirectory(prefix="faceswap-bench-") as folder:
        for package in PACKAGES:
            shutil.copytree(HOME / package, Path(folder) / package, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def device_of(asked: str, address: str) -> str:
    """`auto` is cuda where the cluster has a GPU, else cpu. EnvironmentProblem for cuda without any."""
    if asked == "cpu":
        return "cpu"
    found = connect(address).cluster_resources()
    if found.get("GPU", 0) >= 1:
        return "cuda"
    if asked == "cuda":
        cores = int(found.get("CPU", 0))
        raise EnvironmentProblem(
            f"--device cuda: the cluster has no GPU ({cores} cores in all). Use --device cpu, or add a node with one"
        )
    return "cpu"
