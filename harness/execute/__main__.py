"""`python -m harness.execute < JOB`: run one trial, described as JSON, in this process."""

import faulthandler
import json
import os
import sys

from harness.execute.child import run_trial

faulthandler.enable()
status = run_trial(json.load(sys.stdin))
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # all is written; taking the interpreter down can take seconds, and a runner told to stop waits for it
