"""Settings that every service shares. One prefix, typed, from the environment; a service adds its own on top."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every service needs to reach the bus and to be watched."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    nats_url: str = Field("nats://127.0.0.1:4222", description="comma-separated addresses of the NATS servers")
    nats_user: str | None = Field(None, description="NATS user of this service")
    nats_password: SecretStr | None = Field(None, description="its password")
    replicas: int = Field(1, ge=1, le=5, description="replicas of each stream: 1 on one machine, 3 in a cluster")
    instance: str = Field("", description="name of this process in logs and status; default: service, host, pid")
    http_host: str = Field("127.0.0.1", description="address of the health and metrics endpoints")
    http_port: int = Field(0, ge=0, le=65535, description="their port; 0 takes a free one")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is. The password is apart so that the URL can be logged."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    database_url: str = Field("postgresql://127.0.0.1:5432/webguard", description="PostgreSQL, without the password")
    database_user: str | None = Field(None, description="role of this service")
    database_password: SecretStr | None = Field(None, description="its password")


class RedisSettings(BaseSettings):
    """Where Redis is."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis, without the password")
    redis_password: SecretStr | None = Field(None, description="its password")


class ArtifactSettings(BaseSettings):
    """Where artifacts go: an S3 endpoint, or the JetStream Object Store where none is named."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    s3_url: str | None = Field(None, description="S3 endpoint; none: JetStream Object Store")
    s3_bucket: str = "wg-artifacts"
    s3_region: str = "us-east-1"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None


class SkillSettings(BaseSettings):
    """Where skill folders are found."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_", extra="ignore")

    skills_path: list[Path] = Field(default_factory=list, description="more folders of skills, as a JSON list")
