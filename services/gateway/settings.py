"""Settings of the gateway."""

from pydantic import Field, SecretStr

from shared.settings import Settings


class GatewaySettings(Settings):
    """The HTTP API."""

    jwt_secret: SecretStr = Field(description="signs access tokens; at least 32 characters, the same on every replica")
    token_minutes: float = Field(30, gt=0, le=1440, description="how long an access token is good")
