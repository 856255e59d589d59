-- name: user
select u.name, u.password_hash, u.role, t.name as tenant
from accounts.users u join accounts.tenants t on t.id = u.tenant_id
where u.name = $1 and t.name = $2

-- name: api_key
update accounts.api_keys k set last_used_at = now()
from accounts.tenants t
where k.id = $1 and t.id = k.tenant_id
returning k.key_hash, k.name, k.role, t.name as tenant

-- name: has_admin
select exists (select from accounts.users where role = 'admin')

-- name: add_tenant
insert into accounts.tenants (id, name) values ($1, $2) on conflict (name) do update set name = excluded.name returning id

-- name: add_user
insert into accounts.users (id, tenant_id, name, password_hash, role) values ($1, $2, $3, $4, $5)

-- name: add_api_key
insert into accounts.api_keys (id, tenant_id, name, key_hash, role) values ($1, $2, $3, $4, $5)

-- name: suites
select s.id, s.name, s.description, s.enabled, s.schedule_cron, s.timezone, s.revision, s.created_at, s.updated_at,
  (select count(*) from api_cases c where c.suite_id = s.id and c.enabled) as cases,
  l.id as last_execution_id, l.status as last_status, l.executed_at as last_execution_at
from api_suites s
left join lateral (
  select id, status, executed_at from api_executions e where e.suite_id = s.id order by executed_at desc, id desc limit 1
) l on true
where $1::text is null or s.name > $1
order by s.name limit $2

-- name: revisions
select tenant, name, revision, deleted_at is not null as deleted from api_suite_revisions

-- name: executions
select * from api_executions
where ($1::text is null or suite_name = $1) and ($2::text is null or status = $2)
  and ($3::timestamptz is null or (executed_at, id) < ($3, $4::uuid))
order by executed_at desc, id desc limit $5

-- name: execution
select * from api_executions where id = $1

-- name: results
select * from api_results
where execution_id = $1 and ($2::text is null or status = $2)
  and ($3::timestamptz is null or (created_at, id) > ($3, $4::uuid))
order by created_at, id limit $5

-- name: result
select * from api_results where id = $1

-- name: metrics
select m.id, m.test_result_id, r.test_name, r.attempt, m.metric_name, m.metric_value, m.metric_unit, m.created_at
from api_metrics m join api_results r on r.id = m.test_result_id and r.executed_at = m.executed_at
where m.execution_id = $1 and ($2::timestamptz is null or (m.created_at, m.id) > ($2, $3::uuid))
order by m.created_at, m.id limit $4

-- name: artifacts
select a.*, r.test_name, r.attempt
from api_artifacts a join api_results r on r.id = a.test_result_id and r.executed_at = a.executed_at
where a.execution_id = $1 and ($2::timestamptz is null or (a.created_at, a.id) > ($2, $3::uuid))
order by a.created_at, a.id limit $4

-- name: artifact
select * from api_artifacts where id = $1

-- name: skills
select name, category, description, version, timeout_seconds, params_schema, documentation, offered_at
from api_skills where $1::text is null or name = $1 order by name

-- name: statistics
select * from api_suite_statistics where $1::text is null or suite_name = $1 order by suite_name

-- name: position
select sequence from api_position where stream = 'EVENTS'
