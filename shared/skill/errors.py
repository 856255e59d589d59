"""How a skill says what went wrong. Anything else that it raises is an error of the system."""

from shared.errors import Permanent, WebGuardError


class CheckFailed(AssertionError):
    """The system under test is wrong: the case ends *failed*. A plain AssertionError does the same."""


class NetworkError(WebGuardError):
    """The target could not be reached: the case ends in *error* of type network."""


class DefinitionError(Permanent):
    """The test itself is wrong (params, script, target): *error* of type definition, never retried."""


class EgressDenied(DefinitionError):
    """A rule forbids this target; the text names the rule."""


class Skipped(WebGuardError):
    """There is nothing to test here: the case ends *skipped* with this reason."""


class SkillNotFound(DefinitionError):
    """No such skill; the text lists those that are there."""


class BrokenSkill(WebGuardError):
    """A skill folder that cannot be used; the text names folder, file and fault."""
