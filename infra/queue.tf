# Jobs wait in one queue and carry ids only. The queue is a hint: a message that
# is lost, late or doubled costs time and nothing else.

locals {
  visibility = 6 * local.functions.trace.timeout # as AWS asks for an event source
  receives   = 5                                 # tries before a job is put aside
}

resource "aws_sqs_queue" "jobs" {
  name                       = local.names.queue
  visibility_timeout_seconds = local.visibility
  message_retention_seconds  = 4 * 86400
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = local.arns.dead
    maxReceiveCount     = local.receives
  })

  depends_on = [aws_sqs_queue.jobs_dead]
}

# A message keeps its first age here, so this queue keeps longer than the other.
resource "aws_sqs_queue" "jobs_dead" {
  name                      = local.names.dead
  message_retention_seconds = 14 * 86400
  sqs_managed_sse_enabled   = true

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.arns.queue]
  })
}

# Runs of the schedule that could not be started, or failed. The next run does
# their work; this is for whoever asks why.
resource "aws_sqs_queue" "schedule_dead" {
  name                      = local.names.schedule_dead
  message_retention_seconds = 14 * 86400
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "tls_only" {
  for_each = {
    queue         = aws_sqs_queue.jobs.id
    dead          = aws_sqs_queue.jobs_dead.id
    schedule_dead = aws_sqs_queue.schedule_dead.id
  }

  queue_url = each.value
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TLSOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.arns[each.key]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# One job at a time, so that a turn has the whole time limit; at most
# trace_concurrency at once, so that the nodes are asked no faster than that.
resource "aws_lambda_event_source_mapping" "jobs" {
  event_source_arn        = aws_sqs_queue.jobs.arn
  function_name           = aws_lambda_function.this["trace"].arn
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.trace_concurrency
  }

  depends_on = [aws_iam_role_policy.functions]
}
