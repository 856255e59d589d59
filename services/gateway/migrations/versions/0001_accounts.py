"""Tenants, users, API keys.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None

UP = (
    """
    do $$ begin
      if not exists (select from pg_roles where rolname = 'webguard_gateway') then create role webguard_gateway nologin; end if;
    end $$
    """,
    "create schema accounts",
    "create table accounts.tenants (id uuid primary key, name text not null unique, created_at timestamptz not null default now())",
    """
    create table accounts.users (
      id uuid primary key,
      tenant_id uuid not null references accounts.tenants,
      name text not null,
      password_hash text not null,
      role text not null check (role in ('viewer', 'editor', 'operator', 'admin')),
      created_at timestamptz not null default now(),
      unique (tenant_id, name)
    )
    """,
    """
    create table accounts.api_keys (
      id text primary key,
      tenant_id uuid not null references accounts.tenants,
      name text not null,
      key_hash text not null,
      role text not null check (role in ('viewer', 'editor', 'operator', 'admin')),
      created_at timestamptz not null default now(),
      last_used_at timestamptz
    )
    """,
    "grant usage on schema accounts to webguard_gateway",
    "grant select, insert, update, delete on all tables in schema accounts to webguard_gateway",
)


def upgrade() -> None:
    for statement in UP:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("drop schema accounts cascade")
