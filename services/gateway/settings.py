"""Settings of the gateway alone; the shared ones are in `shared.settings`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """What signs tokens, and the limits of the API."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    jwt_secret: SecretStr = Field(min_length=32, description="signs tokens; the same for every replica")
    jwt_minutes: int = Field(30, ge=1, le=1440, description="how long a token is good")
    login_tries: int = Field(10, ge=1, description="wrong passwords a user may give in a quarter of an hour")
