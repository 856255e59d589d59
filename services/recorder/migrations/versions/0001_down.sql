drop view api_executions, api_suite_statistics, api_position, api_skills, api_artifacts, api_metrics, api_results,
  api_cases, api_suites, api_suite_revisions, v_test_suite_statistics;
-- next
drop function make_partitions(timestamptz), drop_partitions(timestamptz);
-- next
drop table recorder_position, skills_registry, test_artifacts, test_metrics, test_results, test_executions,
  test_cases, test_suites
