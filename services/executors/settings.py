"""Settings of an executor."""

import os
from pathlib import Path
from typing import get_args

from pydantic import Field

from shared.events import Kind
from shared.settings import Settings

KINDS: tuple[Kind, ...] = get_args(Kind)


class ExecutorSettings(Settings):
    """What one executor process runs, and how much of it at once."""

    slots: int = Field(0, ge=0, le=10_000, description="cases at once; 0: by kind")
    scratch_dir: Path | None = Field(None, description="where cases leave files before they are stored")
    stop_seconds: float = Field(10, ge=0, description="how long running cases may go on after SIGTERM")
    blocked_seconds: float = Field(60, gt=0, description="a loop blocked for longer ends the process")
    child_max_cases: int = Field(100, ge=1, description="cases of one sandbox process before it is replaced")
    child_max_mb: int = Field(1024, ge=64, description="memory of a sandbox process after which it is replaced")

    def slots_for(self, kind: Kind) -> int:
        """API cases wait for others; browser cases share Chromium and the cores; data cases want a core each."""
        if self.slots:
            return self.slots
        cores = os.cpu_count() or 1
        return {"api": 100, "browser": max(2, 2 * cores), "data": max(1, cores)}[kind]


def look_up_secret(name: str) -> str | None:
    """Secrets of an executor are its environment variables WEBGUARD_SECRET_<NAME>."""
    return os.environ.get(f"WEBGUARD_SECRET_{name}")
