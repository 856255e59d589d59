"""The skill SDK, under the name that authors import."""

from shared.skill import (
    CheckFailed,
    Context,
    DefinitionError,
    EgressDenied,
    Metric,
    NetworkError,
    SavedFile,
    Skipped,
    Step,
)

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
