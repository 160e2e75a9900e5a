"""`python -m harness.execute JOB.json`: run one trial in this process."""

import faulthandler
import json
import sys
from pathlib import Path

from harness.execute.child import run_trial

faulthandler.enable()
sys.exit(run_trial(json.loads(Path(sys.argv[1]).read_text())))
