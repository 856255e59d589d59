"""Settings of the gateway, on top of the shared ones."""

from pydantic import Field, SecretStr

from shared.settings import Settings


class GatewaySettings(Settings):
    """What signs tokens, and the limits of the API."""

    jwt_secret: SecretStr = Field(min_length=32, description="signs access tokens; the same on every replica")
    token_minutes: float = Field(30, gt=0, le=1440, description="how long an access token is good")
    login_tries: int = Field(10, ge=1, description="wrong passwords a user may give in a quarter of an hour")
