"""The errors that decide what happens to a message or to a user's call."""


class WebGuardError(Exception):
    """Something WebGuard can say in one line: what, which, what now."""


class Permanent(WebGuardError):
    """Repeating cannot help: the message goes to DEAD at once, the caller gets an answer."""


class Malformed(Permanent):
    """The bytes are not what the contract says."""


class Unavailable(WebGuardError):
    """Something this service needs is down: wait and do the same again; it counts as no try."""


class LostRace(WebGuardError):
    """Another replica committed first: read the winner's state and decide again."""


class PublishFailed(WebGuardError):
    """The server refused a publish, or nobody can say whether it was stored: re-read before trying again.

    Attributes:
        code: the server's reason, where it gave one; then nothing was stored.
    """

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code
