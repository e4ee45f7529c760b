# Runs without an account, and without the provider's own checks: see infra_test.go
# for those.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/encryption", key_id = "encryption" }
  }

  mock_resource "aws_cloudformation_stack" {
    defaults = { outputs = { Arn = "arn:aws:kms:eu-central-1:111122223333:key/signing" } }
  }

  mock_resource "aws_cognito_user_pool" {
    defaults = { id = "eu-central-1_Users" }
  }

  mock_resource "aws_cognito_user_pool_client" {
    defaults = { id = "client" }
  }

  mock_resource "aws_apigatewayv2_api" {
    defaults = {
      api_endpoint  = "https://abc.execute-api.eu-central-1.amazonaws.com"
      execution_arn = "arn:aws:execute-api:eu-central-1:111122223333:abc"
    }
  }

  mock_resource "aws_lambda_function" {
    defaults = {
      arn        = "arn:aws:lambda:eu-central-1:111122223333:function:scamtrace-trace"
      invoke_arn = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/f/invocations"
    }
  }

  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-central-1:111122223333:scamtrace-jobs"
      id  = "https://sqs.eu-central-1.amazonaws.com/111122223333/scamtrace-jobs"
    }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:scamtrace-alarms" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/apigateway/scamtrace" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/scamtrace-trace" }
  }
}

variables {
  account_id = "111122223333"
  region     = "eu-central-1"
}

run "defaults" {
  assert {
    condition     = alltrue([for f in aws_lambda_function.this : f.runtime == "provided.al2023" && f.architectures == tolist(["arm64"])])
    error_message = "every function runs on arm64 under provided.al2023"
  }

  assert {
    condition     = alltrue([for f in aws_lambda_function.this : length(f.vpc_config) == 0])
    error_message = "no function is in a VPC, which would need a NAT"
  }

  assert {
    condition     = alltrue([for f, v in aws_lambda_function.this : v.logging_config[0].log_group == aws_cloudwatch_log_group.functions[f].name && aws_cloudwatch_log_group.functions[f].retention_in_days == 30])
    error_message = "every function logs to a group of its own, which forgets"
  }

  assert {
    condition     = aws_sqs_queue.jobs.visibility_timeout_seconds >= 6 * aws_lambda_function.this["trace"].timeout
    error_message = "a job stays hidden for six times the time limit of trace"
  }

  assert {
    condition     = aws_sqs_queue.jobs_dead.message_retention_seconds > aws_sqs_queue.jobs.message_retention_seconds
    error_message = "a job put aside is kept for longer than one that waits, since its age goes on"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.jobs.function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "a job that failed comes back alone"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.jobs.scaling_config[0].maximum_concurrency == aws_lambda_function.this["trace"].reserved_concurrent_executions
    error_message = "the queue starts as many traces as are reserved: more would be throttled, and throttles count as tries"
  }

  assert {
    condition     = aws_apigatewayv2_integration.functions["submit"].timeout_milliseconds <= 30000
    error_message = "an HTTP API waits at most 30 s"
  }

  assert {
    condition     = tonumber(aws_lambda_function.this["trace"].environment[0].variables.SCAMTRACE_RATE) * var.trace_concurrency <= var.node_rate
    error_message = "all traces together stay below node_rate"
  }

  assert {
    condition     = aws_lambda_function.this["trace"].environment[0].variables.SCAMTRACE_KEY == "arn:aws:kms:eu-central-1:111122223333:key/signing"
    error_message = "trace signs with the key of the stack"
  }

  assert {
    condition     = output.issuer == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Users" && output.client_id == "client"
    error_message = "tokens come from the user pool"
  }

  assert {
    condition     = !contains(aws_cognito_user_pool_client.page[0].write_attributes, "custom:workspace") && !contains(aws_cognito_user_pool_client.page[0].write_attributes, "custom:role") && length(aws_cognito_user_pool_client.page[0].write_attributes) > 0
    error_message = "a user can change neither workspace nor role; an empty list would mean all"
  }

  assert {
    condition     = aws_cognito_user_pool.users[0].admin_create_user_config[0].allow_admin_create_user_only && aws_cognito_user_pool.users[0].mfa_configuration == "ON"
    error_message = "nobody signs up, and everybody has a second factor"
  }

  assert {
    condition     = !aws_s3_bucket.cases.force_destroy && !aws_s3_bucket.cases.object_lock_enabled && aws_cognito_user_pool.users[0].deletion_protection == "ACTIVE"
    error_message = "data stays until keep_data is false"
  }

  assert {
    condition     = alltrue([for b in [aws_s3_bucket_public_access_block.cases, aws_s3_bucket_public_access_block.answers] : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets])
    error_message = "no bucket is public"
  }

  assert {
    condition     = alltrue([for r in aws_apigatewayv2_route.routes : r.authorization_type == "JWT" || !strcontains(r.route_key, "/v1/") || r.route_key == "GET /v1/openapi.json"])
    error_message = "all of the API needs a token, but its description"
  }

  assert {
    condition     = length(aws_sns_topic_subscription.operator) == 0
    error_message = "nobody is told unless named"
  }
}

run "an_issuer_of_ones_own" {
  variables {
    oidc = { issuer = "https://login.example.org/realms/ngo", audience = "scamtrace" }
  }

  assert {
    condition     = length(aws_cognito_user_pool.users) + length(aws_cognito_user_pool_client.page) + length(aws_cognito_user_pool_domain.users) == 0
    error_message = "there is no user pool beside it"
  }

  assert {
    condition     = aws_apigatewayv2_authorizer.token.jwt_configuration[0].issuer == var.oidc.issuer && aws_lambda_function.this["submit"].environment[0].variables.SCAMTRACE_ISSUER == var.oidc.issuer
    error_message = "the API and the functions believe the same issuer"
  }
}

run "a_key_made_elsewhere" {
  variables {
    signing_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/mine"
  }

  assert {
    condition     = length(aws_cloudformation_stack.signing) == 0 && output.signing_key_arn == var.signing_key_arn
    error_message = "no key is made beside it"
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.functions["trace"].policy, "key/mine")
    error_message = "trace may sign with it"
  }
}

run "another_name_and_lock" {
  variables {
    name                = "trace-eu"
    object_lock_days    = 365
    reserve_concurrency = false
    alarm_email         = "ops@example.org"
    keep_data           = false
  }

  assert {
    condition     = aws_s3_bucket.cases.object_lock_enabled && aws_s3_bucket.cases.force_destroy && aws_s3_bucket.cases.bucket == "trace-eu-111122223333-eu-central-1"
    error_message = "the bucket follows the settings"
  }

  assert {
    condition     = alltrue([for f in aws_lambda_function.this : f.reserved_concurrent_executions == -1])
    error_message = "nothing is reserved"
  }

  assert {
    condition     = aws_glue_catalog_database.cases.name == "trace_eu" && length(aws_sns_topic_subscription.operator) == 1
    error_message = "names follow the name"
  }
}

run "mistakes_are_told" {
  command = plan

  variables {
    account_id        = "1111"
    region            = "Frankfurt"
    name              = "Scam--Trace"
    trace_memory      = 100
    trace_concurrency = 1
    schedule_minutes  = 1
    oidc              = { issuer = "http://login.example.org", audience = "" }
    log_days          = 31
    quotes            = "defillama"
    indexers          = ["sqd", "none"]
    object_lock_days  = -1
    signing_key_arn   = "alias/mine"
    alarm_email       = "nobody"
    budget_usd        = 0
    webhook_hosts     = ["https://hooks.example.org"]
    alert_usd         = 0
    cases_per_day     = 0
    retention_days    = 0
    version_days      = 0
    signing_key_year  = 1999

    requests_per_second = 0
  }

  expect_failures = [
    var.account_id, var.region, var.name, var.trace_memory, var.trace_concurrency, var.schedule_minutes, var.oidc,
    var.log_days, var.quotes, var.indexers, var.object_lock_days, var.signing_key_arn, var.alarm_email, var.budget_usd, var.webhook_hosts, var.alert_usd,
    var.cases_per_day, var.retention_days, var.version_days, var.signing_key_year, var.requests_per_second,
  ]
}

run "each_trace_may_ask_its_node" {
  command = plan

  variables {
    node_rate = 3
  }

  expect_failures = [var.node_rate]
}
