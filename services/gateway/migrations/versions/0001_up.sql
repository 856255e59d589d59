create table accounts.tenants (
  name text primary key check (name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$' and name <> 'system'),
  created_at timestamptz not null default now()
);
-- next
create table accounts.users (
  id uuid primary key default gen_random_uuid(),
  tenant text not null references accounts.tenants,
  username text not null check (username <> ''),
  password_hash text not null,
  role text not null check (role in ('admin', 'editor', 'viewer')),
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  unique (tenant, username)
);
-- next
-- Of a key only the digest is kept: it has enough entropy that a fast one will do.
create table accounts.api_keys (
  id text primary key,
  user_id uuid not null references accounts.users on delete cascade,
  name text not null,
  secret_sha256 bytea not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz
);
-- next
create index api_keys_of_user on accounts.api_keys (user_id)
