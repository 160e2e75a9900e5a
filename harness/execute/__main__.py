"""`python -m harness.execute JOB.json`: run one trial in this process."""

import faulthandler
import json
import os
import sys
from pathlib import Path

from harness.execute.child import run_trial

faulthandler.enable()
status = run_trial(json.loads(Path(sys.argv[1]).read_text()))
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # all is written; taking the interpreter down can take seconds, and a runner told to stop waits for it
