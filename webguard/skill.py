"""The skill SDK under the name that people know: `from webguard.skill import Context`. See `shared.skill`."""

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
