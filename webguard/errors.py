"""The two ways a command ends without having tested anything; the CLI's exit code follows from the class."""

from shared.errors import Permanent, WebGuardError


class UsageFault(Permanent):
    """The caller has to change something: an option, a file, a definition. Exit code 2."""


class PlatformError(WebGuardError):
    """WebGuard itself cannot be reached or cannot do its work. Exit code 3."""
