"""The skill SDK: what a `skill.py` imports."""

from shared.events import Metric, Step
from shared.skill.context import Context, SavedFile
from shared.skill.errors import CheckFailed, DefinitionError, EgressDenied, NetworkError, Skipped

__all__ = [
    "CheckFailed",
    "Context",
    "DefinitionError",
    "EgressDenied",
    "Metric",
    "NetworkError",
    "SavedFile",
    "Skipped",
    "Step",
]
