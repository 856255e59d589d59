-- Roles are made by whoever sets up the server; where they are missing and may be made, they are made here.
do $$
begin
  if not exists (select from pg_roles where rolname = 'webguard_recorder') then create role webguard_recorder nologin; end if;
  if not exists (select from pg_roles where rolname = 'webguard_gateway') then create role webguard_gateway nologin; end if;
end $$;
-- next
create table test_suites (
  id uuid primary key,
  tenant text not null,
  name text not null,
  description text not null default '',
  enabled boolean not null default true,
  schedule_cron text,
  timezone text not null default 'UTC',
  max_concurrent_tests integer not null default 5 check (max_concurrent_tests > 0),
  timeout_minutes double precision not null default 60 check (timeout_minutes > 0),
  retry_on_failure boolean not null default false,
  revision integer not null,
  definition jsonb not null default '{}',
  saved_by text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  deleted_at timestamptz,
  unique (tenant, name)
);
-- next
create table test_cases (
  id uuid primary key,
  tenant text not null,
  suite_id uuid not null,
  name text not null,
  skill_name text not null,
  kind text not null check (kind in ('browser', 'api', 'data')),
  params jsonb not null default '{}',
  priority integer not null default 0,
  timeout_seconds double precision not null default 300,
  enabled boolean not null default true,
  position integer not null default 0,
  created_at timestamptz not null,
  unique (suite_id, name)
);
-- next
create table test_executions (
  id uuid primary key,
  tenant text not null,
  suite_id uuid not null,
  suite_name text not null,
  revision integer,
  executed_at timestamptz not null,
  started_at timestamptz,
  completed_at timestamptz,
  status text not null check (status in ('queued', 'running', 'passed', 'failed', 'error', 'timeout', 'cancelled', 'skipped')),
  total_tests integer not null default 0,
  passed_tests integer not null default 0,
  failed_tests integer not null default 0,
  skipped_tests integer not null default 0,
  flaky_tests integer not null default 0,
  execution_time_ms bigint,
  triggered_by text not null check (triggered_by in ('schedule', 'manual', 'ci', 'api', 'event')),
  requested_by text,
  ci_commit_sha text,
  ci_branch text,
  error_message text
);
-- next
create index test_executions_latest on test_executions (tenant, executed_at desc, id desc);
-- next
create index test_executions_by_status on test_executions (tenant, status, executed_at desc, id desc);
-- next
create index test_executions_of_suite on test_executions (suite_id, executed_at desc, id desc);
-- next
-- No foreign keys to executions: with several recorders events come in any order, and a result may be first.
-- `executed_at` is the execution's, the same for all its results, so that a repeat meets its first in one partition.
create table test_results (
  id uuid not null,
  tenant text not null,
  execution_id uuid not null,
  executed_at timestamptz not null,
  test_case_id uuid not null,
  test_name text not null,
  skill_name text not null,
  kind text not null check (kind in ('browser', 'api', 'data')),
  role text not null default 'case',
  attempt integer not null check (attempt > 0),
  epoch integer not null,
  status text not null check (status in ('passed', 'failed', 'skipped', 'timeout', 'error', 'cancelled')),
  error_message text,
  error_type text check (error_type in ('assertion', 'timeout', 'network', 'system', 'definition')),
  stack_trace text,
  execution_time_ms bigint not null,
  screenshot_url text,
  video_url text,
  log_url text,
  retry_count integer not null default 0,
  executor text,
  steps jsonb,
  started_at timestamptz not null,
  created_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (id, executed_at)
) partition by range (executed_at);
-- next
create index test_results_of_execution on test_results (execution_id, created_at, id);
-- next
create index test_results_by_status on test_results (tenant, status, created_at desc);
-- next
create table test_metrics (
  id uuid not null,
  tenant text not null,
  test_result_id uuid not null,
  execution_id uuid not null,
  executed_at timestamptz not null,
  metric_name text not null,
  metric_value double precision not null,
  metric_unit text not null default '',
  created_at timestamptz not null,
  primary key (id, executed_at)
) partition by range (executed_at);
-- next
create index test_metrics_of_result on test_metrics (test_result_id);
-- next
create index test_metrics_of_execution on test_metrics (execution_id);
-- next
create table test_artifacts (
  id uuid not null,
  tenant text not null,
  test_result_id uuid not null,
  execution_id uuid not null,
  executed_at timestamptz not null,
  name text not null,
  kind text not null,
  key text not null,
  content_type text not null,
  size bigint not null,
  sha256 text not null,
  created_at timestamptz not null,
  primary key (id, executed_at)
) partition by range (executed_at);
-- next
create index test_artifacts_of_execution on test_artifacts (execution_id);
-- next
create index test_artifacts_by_id on test_artifacts (id);
-- next
create table test_results_other partition of test_results default;
-- next
create table test_metrics_other partition of test_metrics default;
-- next
create table test_artifacts_other partition of test_artifacts default;
-- next
create table skills_registry (
  name text primary key,
  category text not null check (category in ('browser', 'api', 'data')),
  description text not null,
  version text not null,
  enabled boolean not null default true,
  params_schema jsonb not null default '{}',
  documentation text not null default '',
  digest text not null default '',
  timeout_seconds double precision not null default 300,
  created_at timestamptz not null,
  offered_at timestamptz not null
);
-- next
create table recorder_position (
  stream text primary key,
  sequence bigint not null,
  updated_at timestamptz not null default now()
);
-- next
-- Partitions of the month of `at` and the two after it; called by the recorder, as often as it likes.
create function make_partitions(at timestamptz) returns integer language plpgsql security definer
set search_path = public as $$
declare
  base text;
  first timestamptz;
  made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('webguard partitions'));  -- several recorders start together
  for n in 0..2 loop
    first := date_trunc('month', at at time zone 'UTC') at time zone 'UTC' + make_interval(months => n);
    foreach base in array array['test_results', 'test_metrics', 'test_artifacts'] loop
      if to_regclass(format('%I', base || to_char(first at time zone 'UTC', '_YYYY_MM'))) is null then
        execute format('create table %I partition of %I for values from (%L) to (%L)',
          base || to_char(first at time zone 'UTC', '_YYYY_MM'), base, first,
          date_trunc('month', (first + interval '32 days') at time zone 'UTC') at time zone 'UTC');
        made := made + 1;
      end if;
    end loop;
  end loop;
  return made;
end $$;
-- next
-- Retention: whole months that ended before `before` are dropped.
create function drop_partitions(before timestamptz) returns integer language plpgsql security definer
set search_path = public as $$
declare
  part record;
  dropped integer := 0;
begin
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    where p.relname in ('test_results', 'test_metrics', 'test_artifacts') and c.relname ~ '_\d{4}_\d{2}$'
      and (to_date(right(c.relname, 7), 'YYYY_MM')::timestamp + interval '1 month') at time zone 'UTC' <= before
  loop
    execute format('drop table %I', part.relname);
    dropped := dropped + 1;
  end loop;
  return dropped;
end $$;
-- next
revoke all on function make_partitions(timestamptz), drop_partitions(timestamptz) from public;
-- next
create view v_test_suite_statistics with (security_invoker = true) as
select s.id as suite_id, s.tenant, s.name as suite_name,
  count(e.id) as total_executions,
  count(e.id) filter (where e.status = 'passed') as passed_executions,
  count(e.id) filter (where e.status in ('failed', 'error', 'timeout')) as failed_executions,
  round(100.0 * count(e.id) filter (where e.status = 'passed')
    / nullif(count(e.id) filter (where e.status in ('passed', 'failed', 'error', 'timeout')), 0), 2)::double precision as pass_rate,
  avg(e.execution_time_ms)::double precision as avg_execution_time_ms,
  max(e.executed_at) as last_execution_at
from test_suites s
left join test_executions e on e.suite_id = s.id and e.executed_at > now() - interval '30 days'
where s.deleted_at is null
group by s.id, s.tenant, s.name;
-- next
-- What the gateway reads. `security_invoker`: row-level security asks for the gateway's tenant, not the owner's.
create view api_suites with (security_invoker = true) as select * from test_suites where deleted_at is null;
-- next
create view api_suite_revisions with (security_invoker = true) as select id, tenant, name, revision, deleted_at from test_suites;
-- next
create view api_cases with (security_invoker = true) as select * from test_cases;
-- next
create view api_results with (security_invoker = true) as select * from test_results;
-- next
create view api_metrics with (security_invoker = true) as select * from test_metrics;
-- next
create view api_artifacts with (security_invoker = true) as select * from test_artifacts;
-- next
create view api_skills as select * from skills_registry where enabled;
-- next
create view api_position as select stream, sequence, updated_at from recorder_position;
-- next
create view api_suite_statistics with (security_invoker = true) as select * from v_test_suite_statistics;
-- next
-- Of an execution that goes on, the counts come from its results: the last attempt of each case.
create view api_executions with (security_invoker = true) as
select e.id, e.tenant, e.suite_id, e.suite_name, e.revision, e.executed_at, e.started_at, e.completed_at, e.status,
  e.total_tests,
  case when e.status = 'running' then r.passed else e.passed_tests end as passed_tests,
  case when e.status = 'running' then r.failed else e.failed_tests end as failed_tests,
  case when e.status = 'running' then r.skipped else e.skipped_tests end as skipped_tests,
  e.flaky_tests, e.execution_time_ms, e.triggered_by, e.requested_by, e.ci_commit_sha, e.ci_branch, e.error_message
from test_executions e
left join lateral (
  select count(*) filter (where status = 'passed')::integer as passed,
    count(*) filter (where status in ('failed', 'error', 'timeout'))::integer as failed,
    count(*) filter (where status in ('skipped', 'cancelled'))::integer as skipped
  from (
    select distinct on (test_case_id) status from test_results t
    where t.execution_id = e.id and t.executed_at = e.executed_at and e.status = 'running'
    order by test_case_id, attempt desc
  ) last
) r on true;
-- next
do $$
declare t text;
begin
  foreach t in array array['test_suites', 'test_cases', 'test_executions', 'test_results', 'test_metrics', 'test_artifacts'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy recorder_all on %I to webguard_recorder using (true) with check (true)', t);
    execute format('create policy gateway_tenant on %I for select to webguard_gateway
      using (tenant = current_setting(''webguard.tenant'', true))', t);
    execute format('grant select, insert, update, delete, truncate on %I to webguard_recorder', t);
    execute format('grant select on %I to webguard_gateway', t);
  end loop;
end $$;
-- next
grant usage on schema public to webguard_recorder, webguard_gateway;
-- next
grant select, insert, update, delete, truncate on skills_registry, recorder_position to webguard_recorder;
-- next
grant execute on function make_partitions(timestamptz), drop_partitions(timestamptz) to webguard_recorder;
-- next
grant select on v_test_suite_statistics, api_suites, api_suite_revisions, api_cases, api_results, api_metrics,
  api_artifacts, api_skills, api_position, api_suite_statistics, api_executions to webguard_gateway;
-- next
select make_partitions(now())
