-- Everything of a tenant runs in a transaction that has told row-level security which tenant; `tenant = $1` says
-- it a second time, for the day when somebody connects as a superuser. First pages start from the largest key.

-- name: executions
select * from api_executions where tenant = $1 and (executed_at, id) < ($3, $4)
order by executed_at desc, id desc limit $2

-- name: executions_by_status
select * from api_executions where tenant = $1 and (executed_at, id) < ($3, $4) and status = $5
order by executed_at desc, id desc limit $2

-- name: executions_of_suite
select * from api_executions where tenant = $1 and (executed_at, id) < ($3, $4) and suite_id = $5
  and ($6::text is null or status = $6)
order by executed_at desc, id desc limit $2

-- name: execution
select * from api_executions where tenant = $1 and id = $2

-- name: suite_count
select count(*) from api_suites where tenant = $1

-- name: running
select count(*) from api_executions where tenant = $1 and status = 'running'

-- name: results
-- `executed_at` is the execution's: it says in which partition they are.
select * from api_results
where tenant = $1 and execution_id = $3 and executed_at = $4 and (created_at, id) > ($5, $6)
  and ($7::text is null or status = $7)
order by created_at, id limit $2

-- name: result
select * from api_results where tenant = $1 and id = $2

-- name: metrics
select m.*, r.test_name, r.attempt
from api_metrics m join api_results r on r.id = m.test_result_id and r.executed_at = m.executed_at
where m.tenant = $1 and r.tenant = $1 and m.execution_id = $3 and m.executed_at = $4
  and (m.created_at, m.id) > ($5, $6) and ($7::text is null or m.metric_name = $7)
order by m.created_at, m.id limit $2

-- name: artifacts
select a.*, r.test_name, r.attempt
from api_artifacts a join api_results r on r.id = a.test_result_id and r.executed_at = a.executed_at
where a.tenant = $1 and r.tenant = $1 and a.execution_id = $3 and a.executed_at = $4
  and (a.created_at, a.id) > ($5, $6)
order by a.created_at, a.id limit $2

-- name: metrics_of_results
select * from api_metrics where tenant = $1 and execution_id = $2 and test_result_id = any($3::uuid[])
order by created_at, id

-- name: artifacts_of_results
select * from api_artifacts where tenant = $1 and execution_id = $2 and test_result_id = any($3::uuid[])
order by created_at, id

-- name: artifact
select * from api_artifacts where tenant = $1 and id = $2

-- name: statistics
select * from api_suite_statistics where tenant = $1 and suite_name > $3 order by suite_name limit $2

-- name: statistics_of
select * from api_suite_statistics where tenant = $1 and suite_name = $2

-- name: last_executions
-- Of each of some suites the latest.
select l.* from unnest($2::uuid[]) as s(id) cross join lateral (
  select e.id, e.suite_id, e.status, e.executed_at from api_executions e
  where e.tenant = $1 and e.suite_id = s.id order by e.executed_at desc, e.id desc limit 1
) l

-- name: suite_revisions
select name, revision, deleted_at from api_suite_revisions where tenant = $1

-- name: suite_revision
select revision from api_suite_revisions where tenant = $1 and name = $2

-- name: skills
select * from api_skills order by name

-- name: skill
select * from api_skills where name = $1

-- name: skill_schemas
select name, category, timeout_seconds, params_schema from api_skills

-- name: position
select sequence from api_position where stream = $1

-- name: login
select u.id, u.name, u.role, u.password_hash, t.name as tenant
from accounts.users u join accounts.tenants t on t.id = u.tenant_id
where t.name = $1 and u.name = $2

-- name: rehash
update accounts.users set password_hash = $2 where id = $1

-- name: api_key
select k.id, k.key_hash, k.last_used_at, k.name, k.role, t.name as tenant
from accounts.api_keys k join accounts.tenants t on t.id = k.tenant_id
where k.id = $1

-- name: api_key_used
-- Once a minute is enough: a key that is used a lot must not write a lot.
update accounts.api_keys set last_used_at = $2 where id = $1
  and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')

-- name: bootstrap_lock
select pg_advisory_xact_lock(hashtextextended('webguard.bootstrap', 0))

-- name: admin_exists
select exists (select from accounts.users where role = 'admin')

-- name: add_tenant
insert into accounts.tenants (id, name) values ($1, $2)
on conflict (name) do update set name = excluded.name returning id

-- name: add_user
insert into accounts.users (id, tenant_id, name, password_hash, role) values ($1, $2, $3, $4, $5)

-- name: add_api_key
insert into accounts.api_keys (id, tenant_id, name, key_hash, role) values ($1, $2, $3, $4, $5)
