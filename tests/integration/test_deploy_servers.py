"""What compose mounts into its servers, on real servers."""

import os
import subprocess
from pathlib import Path

import nats.errors
import pytest
from pydantic import SecretStr

from services.gateway.migrate import migrate as migrate_gateway
from services.recorder.migrate import migrate as migrate_recorder
from shared.bus.access import users
from shared.bus.connection import connect
from shared.bus.provision import provision
from shared.settings import DatabaseSettings, Settings
from tests.servers import end, server_folder
from webguard.local.nats import program
from webguard.local.postgres import DATABASE, OWNER, PostgresServer, binaries
from webguard.local.probe import http_status
from webguard.local.process import Child, free_ports

DEPLOY = Path(__file__).parents[2] / "deploy"


async def test_nats_runs_with_its_configuration_and_holds_the_platforms_streams() -> None:
    passwords = {f"WEBGUARD_NATS_PASSWORD_{user.upper()}": f"w-{user}" for user in users()}
    port, monitor = free_ports(2)
    flags = ["-a", "127.0.0.1", "-p", str(port), "-m", str(monitor)]
    with server_folder("nats") as folder:
        command: list[str | Path] = [program(), "-c", DEPLOY / "nats" / "nats.conf", *flags]
        env = {"PATH": os.environ["PATH"], "NATS_SERVER_NAME": "nats-1", "NATS_STORE_DIR": str(folder), **passwords}
        child = Child("nats-server", command, folder / "log", env=env)
        try:
            child.wait_until(lambda: http_status(monitor, "/healthz?js-enabled-only=true") == 200)

            def settings(user: str, password: str) -> Settings:
                return Settings(nats_url=f"nats://127.0.0.1:{port}", nats_user=user, nats_password=SecretStr(password))

            nc = await connect(settings("admin", "w-admin"), "test")
            assert "made stream EVENTS" in await provision(nc)
            assert await provision(nc) == []
            await nc.close()
            nc = await connect(settings("scheduler", "w-scheduler"), "test")
            assert nc.max_payload == 1024 * 1024
            await nc.close()
            with pytest.raises(nats.errors.Error, match="Authorization Violation"):
                async with await nats.connect(
                    f"nats://127.0.0.1:{port}", user="admin", password="w-scheduler", allow_reconnect=False
                ):
                    pass
        finally:
            child.stop()


def test_the_roles_of_the_database_suffice_for_the_migrations(tmp_path: Path) -> None:
    with server_folder("postgres") as folder:
        server = PostgresServer(folder)
        server.start()
        try:
            roles = {role: f"w-{role}" for role in ("webguard_owner", "webguard_recorder", "webguard_gateway")}
            env = {
                "PATH": f"{binaries()}:{os.environ['PATH']}",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(server.port),
                "PGPASSWORD": server.password,
                "POSTGRES_USER": OWNER,
                "POSTGRES_DB": DATABASE,
                **{f"WEBGUARD_DATABASE_PASSWORD_{role.upper()}": password for role, password in roles.items()},
            }
            done = subprocess.run(
                ["sh", DEPLOY / "compose" / "roles.sh"], env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            owner = DatabaseSettings(
                database_url=server.url,
                database_user="webguard_owner",
                database_password=SecretStr(roles["webguard_owner"]),
            )
            migrate_recorder(owner)
            migrate_gateway(owner)
            tables = server.execute("select count(*) from pg_tables where tableowner = 'webguard_owner'")
            assert int(tables) > 10
            assert not server.execute(f"select rolname from pg_roles where rolsuper and rolname in {tuple(roles)}")
        finally:
            end(server)
