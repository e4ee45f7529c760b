# Every name, once. ARNs are built from names, so that a plan shows every policy
# in full before anything exists; key ids alone are known only after they do.

locals {
  partition = data.aws_partition.current.partition

  names = {
    bucket        = "${var.name}-${var.account_id}-${var.region}"
    answers       = "${var.name}-athena-${var.account_id}-${var.region}"
    queue         = "${var.name}-jobs"
    dead          = "${var.name}-jobs-dead"
    schedule_dead = "${var.name}-schedule-dead"
    alerts        = "${var.name}-alerts" # what moved, for investigators
    alarms        = "${var.name}-alarms" # what is broken, for operators
    database      = replace(var.name, "-", "_")
  }

  mains = ["download", "retrace", "submit", "trace"] # as under functions/

  here = "${var.region}:${var.account_id}"

  arns = {
    bucket        = "arn:${local.partition}:s3:::${local.names.bucket}"
    answers       = "arn:${local.partition}:s3:::${local.names.answers}"
    queue         = "arn:${local.partition}:sqs:${local.here}:${local.names.queue}"
    dead          = "arn:${local.partition}:sqs:${local.here}:${local.names.dead}"
    schedule_dead = "arn:${local.partition}:sqs:${local.here}:${local.names.schedule_dead}"
    alerts        = "arn:${local.partition}:sns:${local.here}:${local.names.alerts}"
    alarms        = "arn:${local.partition}:sns:${local.here}:${local.names.alarms}"

    functions = { for f in local.mains : f => "arn:${local.partition}:lambda:${local.here}:function:${var.name}-${f}" }
    roles     = { for f in local.mains : f => "arn:${local.partition}:iam::${var.account_id}:role/${var.name}-${f}" }
    logs      = { for f in local.mains : f => "arn:${local.partition}:logs:${local.here}:log-group:/aws/lambda/${var.name}-${f}" }
  }

  # The only two that AWS chooses.
  encryption_key = aws_kms_key.encryption.arn
  signing_key    = var.signing_key_arn != "" ? var.signing_key_arn : aws_cloudformation_stack.signing[0].outputs["Arn"]
}
