# The four functions: size and environment of each in one table. What each may do
# is in permissions.tf.

locals {
  functions = {
    submit = {
      does        = "The page and the API: takes cases, shows and erases them."
      memory      = 256
      timeout     = 29 # the API waits 30 s
      concurrency = 20

      environment = {
        SCAMTRACE_QUEUE         = local.queue_url
        SCAMTRACE_ISSUER        = local.issuer
        SCAMTRACE_AUDIENCE      = local.audience
        SCAMTRACE_CASES_PER_DAY = var.cases_per_day
        SCAMTRACE_ALERT_USD     = var.alert_usd
        SCAMTRACE_WEBHOOK_HOSTS = join(",", var.webhook_hosts)
      }
    }

    trace = {
      does        = "Works at one case for up to 15 minutes, then passes it on."
      memory      = var.trace_memory
      timeout     = 900
      concurrency = var.trace_concurrency

      environment = {
        SCAMTRACE_QUEUE         = local.queue_url
        SCAMTRACE_TOPIC         = local.arns.alerts
        SCAMTRACE_ALERT_USD     = var.alert_usd
        SCAMTRACE_WEBHOOK_HOSTS = join(",", var.webhook_hosts)
        SCAMTRACE_KEY           = local.signing_key
        SCAMTRACE_LOCK_DAYS     = var.object_lock_days
        SCAMTRACE_QUOTES        = var.quotes
        SCAMTRACE_INDEX         = join(",", var.indexers)
        SCAMTRACE_RATE          = floor(var.node_rate / var.trace_concurrency)
      }
    }

    retrace = {
      does        = "Queues the cases that are due, on a schedule."
      memory      = 256
      timeout     = 60
      concurrency = 1

      environment = {
        SCAMTRACE_QUEUE = local.queue_url
      }
    }

    download = {
      does        = "Answers a request for a file of a report with a link of 15 minutes."
      memory      = 128
      timeout     = 10
      concurrency = 20

      environment = {
        SCAMTRACE_ISSUER        = local.issuer
        SCAMTRACE_AUDIENCE      = local.audience
        SCAMTRACE_CASES_PER_DAY = var.cases_per_day
      }
    }
  }

  queue_url = "https://sqs.${var.region}.amazonaws.com/${var.account_id}/${local.names.queue}"
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name                  = "${var.name}-${each.key}"
  description                    = each.value.does
  role                           = aws_iam_role.functions[each.key].arn
  runtime                        = "provided.al2023"
  architectures                  = ["arm64"]
  handler                        = "bootstrap"
  filename                       = "${var.dist}/${each.key}.zip"
  source_code_hash               = filebase64sha256("${var.dist}/${each.key}.zip")
  memory_size                    = each.value.memory
  timeout                        = each.value.timeout
  reserved_concurrent_executions = var.reserve_concurrency ? each.value.concurrency : -1

  environment {
    variables = merge(
      { GOMEMLIMIT = "${floor(each.value.memory * 0.9)}MiB", SCAMTRACE_DATA = "s3://${local.names.bucket}", SCAMTRACE_RETENTION_DAYS = var.retention_days },
      each.value.environment,
    )
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.functions[each.key].name
  }

  depends_on = [aws_iam_role_policy.functions]
}

resource "aws_cloudwatch_log_group" "functions" {
  for_each = local.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_days
}

resource "aws_iam_role" "functions" {
  for_each = local.functions

  name        = "${var.name}-${each.key}"
  description = each.value.does

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "functions" {
  for_each = local.functions

  name = "permissions"
  role = aws_iam_role.functions[each.key].id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.permissions[each.key]
  })
}
