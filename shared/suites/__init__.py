"""Suites as users write them: the model, what a definition must keep to, and its `${…}` templates."""

from shared.suites.definition import CaseDefinition, Retry, SuiteDefinition
from shared.suites.template import TemplateError, names, render
from shared.suites.validate import Fault, SkillInfo, check

__all__ = [
    "CaseDefinition",
    "Fault",
    "Retry",
    "SkillInfo",
    "SuiteDefinition",
    "TemplateError",
    "check",
    "names",
    "render",
]
