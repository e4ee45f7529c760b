# What wakes an operator, and a page to look at. README.md has a runbook for each
# alarm, under its name; infra_test.go holds the two together.

locals {
  alarms = merge(
    {
      jobs-dead = {
        says      = "A case failed ${local.receives} times in a row and was put aside."
        namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", of = { QueueName = local.names.dead }
        statistic = "Maximum", over = 0, minutes = 5
      }
      jobs-waiting = {
        says      = "A job has waited for more than two hours: traces are not keeping up."
        namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", of = { QueueName = local.names.queue }
        statistic = "Maximum", over = 7200, minutes = 15
      }
      schedule-dead = {
        says      = "A run of the schedule failed."
        namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", of = { QueueName = local.names.schedule_dead }
        statistic = "Maximum", over = 0, minutes = 5
      }
      schedule-stopped = {
        says      = "The schedule has not run: re-traces and lost messages wait."
        namespace = "AWS/Lambda", metric = "Invocations", of = { FunctionName = "${var.name}-retrace" }
        statistic = "Sum", under = 1, minutes = 3 * var.schedule_minutes, missing = "breaching"
      }
      api-errors = {
        says      = "The API answered with 5xx."
        namespace = "AWS/ApiGateway", metric = "5xx", of = { ApiId = aws_apigatewayv2_api.api.id }
        statistic = "Sum", over = 4, minutes = 5
      }
    },
    {
      for f in keys(local.functions) : "${f}-errors" => {
        says      = "${f} failed: it crashed, ran out of memory or time, or could not write."
        namespace = "AWS/Lambda", metric = "Errors", of = { FunctionName = "${var.name}-${f}" }
        statistic = "Sum", over = 2, minutes = 15
      }
    },
    {
      for f in keys(local.functions) : "${f}-throttled" => {
        says      = "${f} was turned away: its concurrency is used up."
        namespace = "AWS/Lambda", metric = "Throttles", of = { FunctionName = "${var.name}-${f}" }
        statistic = "Sum", over = 10, minutes = 5
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "alarms" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.says} See ${each.key} in infra/README.md."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.of
  statistic           = each.value.statistic
  comparison_operator = can(each.value.under) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = try(each.value.over, each.value.under)
  period              = 60 * each.value.minutes
  evaluation_periods  = 1
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = [local.arns.alarms]
  ok_actions          = [local.arns.alarms]
}

# For operators. Holds no case data, so CloudWatch and Budgets may write to it
# without a key.
resource "aws_sns_topic" "alarms" {
  name = local.names.alarms
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Publish"
        Effect    = "Allow"
        Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = local.arns.alarms
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "operator" {
  count = var.alarm_email != "" ? 1 : 0

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

# For investigators: what moved. Subscribe by e-mail or HTTPS in the console.
resource "aws_sns_topic" "alerts" {
  name              = local.names.alerts
  kms_master_key_id = local.encryption_key
}

resource "aws_sns_topic_policy" "alerts" {
  arn = aws_sns_topic.alerts.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Publish"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${var.account_id}:root" }
        Action    = ["sns:Publish", "sns:Subscribe", "sns:GetTopicAttributes"]
        Resource  = local.arns.alerts
      },
      {
        Sid       = "TLSOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.arns.alerts
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# The whole account: a filter by tag would say nothing until somebody activates
# the tag for billing.
resource "aws_budgets_budget" "month" {
  name         = "${var.name}-month"
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = { "80" = "ACTUAL", "100" = "ACTUAL", "100.0" = "FORECASTED" }

    content {
      comparison_operator       = "GREATER_THAN"
      threshold                 = tonumber(notification.key)
      threshold_type            = "PERCENTAGE"
      notification_type         = notification.value
      subscriber_sns_topic_arns = [local.arns.alarms]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}

locals {
  # title: lists of metrics, as CloudWatch writes them
  widgets = {
    "Traces at work and jobs waiting" = [
      ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", "${var.name}-trace", { stat = "Maximum" }],
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.names.queue, { stat = "Maximum" }],
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.names.dead, { stat = "Maximum" }],
    ]
    "Oldest job, seconds" = [
      ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", local.names.queue, { stat = "Maximum" }],
    ]
    "Invocations" = [for f in keys(local.functions) : ["AWS/Lambda", "Invocations", "FunctionName", "${var.name}-${f}", { stat = "Sum" }]]
    "Errors"      = [for f in keys(local.functions) : ["AWS/Lambda", "Errors", "FunctionName", "${var.name}-${f}", { stat = "Sum" }]]
    "Duration, p95 in ms" = [
      for f in keys(local.functions) : ["AWS/Lambda", "Duration", "FunctionName", "${var.name}-${f}", { stat = "p95" }]
    ]
    "API" = [
      for m in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", m, "ApiId", aws_apigatewayv2_api.api.id, { stat = "Sum" }]
    ]
    # What the functions measure themselves, by chain.
    "Reports and failures" = [
      for m in ["Reports", "Failures", "Turns"] : [{ expression = "SEARCH('{Scamtrace,Chain} MetricName=\"${m}\"', 'Sum')", label = "$${LABEL} ${m}" }]
    ]
    "Requests to nodes, wallets read" = [
      for m in ["Requests", "Wallets"] : [{ expression = "SEARCH('{Scamtrace,Chain} MetricName=\"${m}\"', 'Sum')", label = "$${LABEL} ${m}" }]
    ]
  }
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for i, title in keys(local.widgets) : {
        type = "metric", width = 12, height = 6, x = 12 * (i % 2), y = 6 * floor(i / 2)
        properties = {
          title   = title
          region  = var.region
          period  = 300
          view    = "timeSeries"
          metrics = local.widgets[title]
        }
      }
    ]
  })
}
