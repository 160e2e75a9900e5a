"""Where trials run. `run_plan` takes trials, runs what is not done yet, and returns their records."""

from harness.execute.run import Interruption, run_plan

__all__ = ["Interruption", "run_plan"]
