-- Roles are made by whoever sets up the server; where they are missing and may be made, they are made here.
do $$
begin
  if not exists (select from pg_roles where rolname = 'webguard_gateway') then create role webguard_gateway nologin; end if;
  if not exists (select from pg_namespace where nspname = 'accounts') then create schema accounts authorization webguard_gateway; end if;
end $$;
-- next
set local role webguard_gateway
