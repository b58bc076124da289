"""Where things lie: the repository, the work folder (never committed)."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
WORK = Path(os.environ.get("TRAIN_DEMO_WORK", REPO / ".train-demo"))
DATA = WORK / "data"
TWEMOJI = WORK / "twemoji" / "package"
MODEL = REPO / "models" / "demo"
