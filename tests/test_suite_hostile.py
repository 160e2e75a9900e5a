"""Hostile, absurd and broken suite files: always one plain error, never more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_suite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import registry
from harness.errors import HarnessError, UsageError
from harness.suite.suite import from_document, load
from harness.suite.yamlfile import MAX_BYTES, parse
from harness.trials.trial import trials


@pytest.fixture(autouse=True)
def tiny_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)


def test_files_that_are_no_suite_are_refused(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"suite: a\nquestion: \xff\n")
    for file, message in ((big, "larger"), (binary, r"binary.yaml:2:11: .* not UTF-8"), (tmp_path, "cannot be read")):
        with pytest.raises(UsageError, match=message):
            load(file)


def test_aliases_cannot_blow_up_the_memory() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(UsageError, match="aliases counted"):
        parse("\n".join(lines), "x")


yaml_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("tiny-test")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "suite", "question", "data", "base", "matrix", "seeds", "scales", "metrics", "baseline", "labels", "claims",
    "model.variant", "loss", "grid", "zip", "include", "exclude", "optim.steps", "quick", "data.source", "",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="{}[]:,-&*!|>'\"#%@` \n\tab01.~<", max_size=60),
        st.dictionaries(st.sampled_from(KEYS), yaml_values, max_size=6).map(lambda v: json.dumps(v, allow_nan=True)),
        st.tuples(st.integers(0, len(tiny_suite.TEXT)), st.integers(0, 12), st.text(max_size=6)).map(
            lambda cut: tiny_suite.TEXT[: cut[0]] + cut[2] + tiny_suite.TEXT[cut[0] + cut[1] :]
        ),
    )
)
def test_arbitrary_text_never_gives_anything_but_a_plain_error(text: str) -> None:
    try:
        trials(from_document(parse(text, "s.yaml"), Path("s.yaml")), "quick")
    except HarnessError as error:
        assert str(error)
        assert error.code == 2
