# The clock: retrace looks for cases that are due and queues them.

resource "aws_scheduler_schedule" "retrace" {
  name                = "${var.name}-retrace"
  description         = "Queues the cases that are due."
  schedule_expression = "rate(${var.schedule_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = local.arns.functions.retrace
    role_arn = aws_iam_role.schedule.arn
    input    = jsonencode({ source = "schedule" })

    # The next run does the work of a missed one.
    retry_policy {
      maximum_event_age_in_seconds = 60 * var.schedule_minutes
      maximum_retry_attempts       = 1
    }

    dead_letter_config {
      arn = local.arns.schedule_dead
    }
  }

  depends_on = [aws_lambda_function.this, aws_iam_role_policy.schedule]
}

resource "aws_lambda_function_event_invoke_config" "retrace" {
  function_name                = aws_lambda_function.this["retrace"].function_name
  maximum_event_age_in_seconds = 60 * var.schedule_minutes
  maximum_retry_attempts       = 0

  destination_config {
    on_failure {
      destination = local.arns.schedule_dead
    }
  }

  depends_on = [aws_iam_role_policy.functions]
}

resource "aws_iam_role" "schedule" {
  name        = "${var.name}-schedule"
  description = "EventBridge Scheduler starting retrace."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "start"
  role = aws_iam_role.schedule.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [local.arns.functions.retrace] },
      { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.arns.schedule_dead] },
    ]
  })
}
