"""The contract between the services."""

from shared.events.base import SYSTEM_TENANT, Message, decode, encode
from shared.events.case import (
    Artifact,
    ArtifactKind,
    CaseAttempt,
    CaseFinished,
    CaseStarted,
    ErrorType,
    Kind,
    Metric,
    PriorityClass,
    ResultStatus,
    Step,
    Task,
)
from shared.events.execution import ExecutionFinished, ExecutionRefused, ExecutionStarted, FinalStatus
from shared.events.requests import CancelRequest, ExecuteRequest, Tick, TriggeredBy
from shared.events.suite import SkillOffered, SuiteDeleted, SuiteSaved

# Every event on the EVENTS stream: what a consumer of `wg.*.event.>` has to know.
Event = (
    CaseStarted
    | CaseFinished
    | ExecutionStarted
    | ExecutionFinished
    | ExecutionRefused
    | SuiteSaved
    | SuiteDeleted
    | SkillOffered
)

__all__ = [
    "SYSTEM_TENANT",
    "Artifact",
    "ArtifactKind",
    "CancelRequest",
    "CaseAttempt",
    "CaseFinished",
    "CaseStarted",
    "ErrorType",
    "Event",
    "ExecuteRequest",
    "ExecutionFinished",
    "ExecutionRefused",
    "ExecutionStarted",
    "FinalStatus",
    "Kind",
    "Message",
    "Metric",
    "PriorityClass",
    "ResultStatus",
    "SkillOffered",
    "Step",
    "SuiteDeleted",
    "SuiteSaved",
    "Task",
    "Tick",
    "TriggeredBy",
    "decode",
    "encode",
]
