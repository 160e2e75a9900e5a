"""Records written under former names of metrics are read under today's."""

from __future__ import annotations

import pytest

from harness import registry
from harness.ledger.renamed import name_now, renamed


@pytest.mark.parametrize("old", ["cbe_db_1", "cbe_image_floor_rms_3", "cbe_flag_2", "cbe_constant_latent"])
def test_former_names_lead_to_registered_metrics(old: str) -> None:
    registered = {info.name for entry in registry.entries("metric").values() for info in entry.object.infos}
    assert old not in registered and name_now(old) in registered


def test_keys_and_named_metrics_are_renamed_and_nothing_else() -> None:
    plan = {"claims": [{"metric": "cbe_db_1"}], "trials": [{"name": "cbe_net-s0", "cell": {"cbe_dim": 1}}]}
    assert renamed(plan) == {**plan, "claims": [{"metric": "checkerboard_db_1"}]}
    assert renamed({"scores": {"cbe_rms_2": {"mean": 0.5}}}) == {"scores": {"checkerboard_rms_2": {"mean": 0.5}}}
