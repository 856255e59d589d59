-- name: results
-- Of two results for one attempt the first in the stream counts: the id is made of execution, case, attempt and role.
insert into test_results (id, tenant, execution_id, executed_at, test_case_id, test_name, skill_name, kind, attempt,
  epoch, status, error_message, error_type, stack_trace, execution_time_ms, screenshot_url, video_url, log_url,
  retry_count, executor, steps, started_at, created_at)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[],
  $8::text[], $9::integer[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[],
  $16::text[], $17::text[], $18::text[], $19::integer[], $20::text[], $21::jsonb[], $22::timestamptz[],
  $23::timestamptz[])
on conflict do nothing
returning id

-- name: metrics
insert into test_metrics (id, tenant, test_result_id, execution_id, executed_at, metric_name, metric_value,
  metric_unit, created_at)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::text[],
  $7::double precision[], $8::text[], $9::timestamptz[])
on conflict do nothing

-- name: artifacts
insert into test_artifacts (id, tenant, test_result_id, execution_id, executed_at, name, kind, key, content_type,
  size, sha256, created_at)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[],
  $8::text[], $9::text[], $10::bigint[], $11::text[], $12::timestamptz[])
on conflict do nothing

-- name: started
-- Never takes back an end that was recorded first.
insert into test_executions (id, tenant, suite_id, suite_name, revision, executed_at, started_at, status, total_tests,
  triggered_by, requested_by, ci_commit_sha, ci_branch)
select id, tenant, suite_id, suite_name, revision, executed_at, started_at, 'running', total, triggered_by,
  requested_by, ci_commit_sha, ci_branch
from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::timestamptz[], $7::timestamptz[],
  $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[])
  as t(id, tenant, suite_id, suite_name, revision, executed_at, started_at, total, triggered_by, requested_by,
    ci_commit_sha, ci_branch)
on conflict (id) do update set revision = excluded.revision, triggered_by = excluded.triggered_by,
  requested_by = excluded.requested_by, ci_commit_sha = excluded.ci_commit_sha, ci_branch = excluded.ci_branch
where test_executions.revision is null and test_executions.tenant = excluded.tenant

-- name: finished
insert into test_executions (id, tenant, suite_id, suite_name, executed_at, started_at, completed_at, status,
  total_tests, passed_tests, failed_tests, skipped_tests, flaky_tests, execution_time_ms, error_message, triggered_by)
select *, 'api' from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::timestamptz[],
  $7::timestamptz[], $8::text[], $9::integer[], $10::integer[], $11::integer[], $12::integer[], $13::integer[],
  $14::bigint[], $15::text[])
on conflict (id) do update set completed_at = excluded.completed_at, status = excluded.status,
  total_tests = excluded.total_tests, passed_tests = excluded.passed_tests, failed_tests = excluded.failed_tests,
  skipped_tests = excluded.skipped_tests, flaky_tests = excluded.flaky_tests,
  execution_time_ms = excluded.execution_time_ms, error_message = excluded.error_message
where test_executions.completed_at is null and test_executions.tenant = excluded.tenant
returning id

-- name: refused
insert into test_executions (id, tenant, suite_id, suite_name, executed_at, completed_at, status, error_message,
  triggered_by, requested_by, ci_commit_sha, ci_branch, execution_time_ms)
values ($1, $2, $3, $4, $5, $5, 'error', $6, $7, $8, $9, $10, 0)
on conflict (id) do nothing

-- name: suite_saved
insert into test_suites (id, tenant, name, description, enabled, schedule_cron, timezone, max_concurrent_tests,
  timeout_minutes, retry_on_failure, revision, definition, saved_by, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15)
on conflict (id) do update set description = excluded.description, enabled = excluded.enabled,
  schedule_cron = excluded.schedule_cron, timezone = excluded.timezone,
  max_concurrent_tests = excluded.max_concurrent_tests, timeout_minutes = excluded.timeout_minutes,
  retry_on_failure = excluded.retry_on_failure, revision = excluded.revision, definition = excluded.definition,
  saved_by = excluded.saved_by, updated_at = excluded.updated_at, deleted_at = null
where test_suites.revision < excluded.revision and test_suites.tenant = excluded.tenant
returning id

-- name: suite_deleted
-- Recorded before any save it leaves a tombstone, so that a late save does not bring the suite back.
insert into test_suites (id, tenant, name, enabled, revision, created_at, updated_at, deleted_at)
values ($1, $4, $5, false, $3, $2, $2, $2)
on conflict (id) do update set enabled = false, deleted_at = excluded.deleted_at, revision = excluded.revision,
  updated_at = excluded.updated_at
where test_suites.revision < excluded.revision and test_suites.tenant = excluded.tenant

-- name: cases_gone
-- A case that is no longer in the definition is not deleted: results refer to it.
update test_cases set enabled = false where suite_id = $1 and not (name = any($2::text[]))

-- name: cases_saved
insert into test_cases (id, tenant, suite_id, name, skill_name, kind, params, priority, timeout_seconds, enabled,
  position, created_at)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
  $8::integer[], $9::double precision[], $10::boolean[], $11::integer[], $12::timestamptz[])
on conflict (id) do update set skill_name = excluded.skill_name, kind = excluded.kind, params = excluded.params,
  priority = excluded.priority, timeout_seconds = excluded.timeout_seconds, enabled = excluded.enabled,
  position = excluded.position

-- name: skill_offered
insert into skills_registry (name, category, description, version, params_schema, documentation, digest,
  timeout_seconds, created_at, offered_at)
values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $9)
on conflict (name) do update set category = excluded.category, description = excluded.description,
  version = excluded.version, params_schema = excluded.params_schema, documentation = excluded.documentation,
  digest = excluded.digest, timeout_seconds = excluded.timeout_seconds, offered_at = excluded.offered_at
where skills_registry.offered_at <= excluded.offered_at

-- name: position
insert into recorder_position (stream, sequence) values ($1, $2)
on conflict (stream) do update set sequence = greatest(recorder_position.sequence, excluded.sequence), updated_at = now()

-- name: forget
truncate test_results, test_metrics, test_artifacts, test_executions, test_cases, test_suites, skills_registry, recorder_position
