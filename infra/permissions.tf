# What each function may do: keys of the bucket by what is done with them, and
# whatever else. infra_test.go holds a table of its own against this one, so a
# permission is granted in two places or not at all.

locals {
  # Read includes the look that a writer takes when its write was refused.
  grants = {
    submit = {
      read = [
        "public/*", "personal/*", "due/*", "workspaces/*/cases/*/case.json", "workspaces/*/list/*", "workspaces/*/own/*",
        "workspaces/*/once/*", "workspaces/*/quota/*", "workspaces/*/settings.json", "workspaces/*/audit/*", "workspaces/*/audit-head.json",
      ]
      write = [
        "personal/*", "due/*", "workspaces/*/cases/*/case.json", "workspaces/*/list/*", "workspaces/*/own/*",
        "workspaces/*/once/*", "workspaces/*/quota/*", "workspaces/*/settings.json", "workspaces/*/audit/*", "workspaces/*/audit-head.json",
      ]
      # Erasure: what a person gave, and the working state, which nobody reads here.
      delete = ["personal/*", "due/*", "workspaces/*/own/*", "workspaces/*/once/*", "workspaces/*/cases/*/state/*"]
      list   = ["public/", "workspaces/*/list/", "workspaces/*/own/*/", "workspaces/*/cases/*/state/"]
      more   = [local.send]
    }

    trace = {
      read = [
        "public/*", "private/rpc.json", "private/endpoints.json", "due/*", "workspaces/*/cases/*/case.json", "workspaces/*/cases/*/state/*",
        "workspaces/*/cases/*/evidence/*", "workspaces/*/cases/*/reports/*", "workspaces/*/cases/*/diffs/*", "workspaces/*/tables/*",
        "workspaces/*/settings.json", "workspaces/*/audit/*", "workspaces/*/audit-head.json",
      ]
      write = [
        "private/endpoints.json", "due/*", "workspaces/*/cases/*/case.json", "workspaces/*/cases/*/state/*", "workspaces/*/cases/*/evidence/*",
        "workspaces/*/cases/*/reports/*", "workspaces/*/cases/*/diffs/*", "workspaces/*/tables/*", "workspaces/*/audit/*", "workspaces/*/audit-head.json",
      ]
      delete = ["due/*"]
      list   = ["public/"]
      more = concat(local.lock, [
        local.send,
        {
          Sid      = "Receive"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
          Resource = [local.arns.queue]
        },
        { Sid = "Alert", Effect = "Allow", Action = ["sns:Publish"], Resource = [local.arns.alerts] },
        {
          Sid      = "EncryptAlert"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [local.encryption_key]
          Condition = {
            StringEquals = {
              "kms:ViaService"                         = "sns.${var.region}.amazonaws.com"
              "kms:EncryptionContext:aws:sns:topicArn" = local.arns.alerts
            }
          }
        },
        {
          Sid       = "Sign"
          Effect    = "Allow"
          Action    = ["kms:Sign"]
          Resource  = [local.signing_key]
          Condition = { StringEquals = { "kms:SigningAlgorithm" = "ED25519_SHA_512" } }
        },
        { Sid = "SigningKey", Effect = "Allow", Action = ["kms:GetPublicKey"], Resource = [local.signing_key] },
      ])
    }

    retrace = {
      read   = ["due/*", "workspaces/*/cases/*/case.json"]
      write  = ["due/*", "workspaces/*/cases/*/case.json"]
      delete = ["personal/*", "due/*", "workspaces/*/own/*", "workspaces/*/once/*", "workspaces/*/cases/*/state/*"]
      list   = ["due/", "workspaces/*/cases/*/state/"]
      more = [
        local.send,
        { Sid = "Dead", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.arns.schedule_dead] },
      ]
    }

    download = {
      read = [
        "workspaces/*/cases/*/case.json", "workspaces/*/cases/*/reports/*", "workspaces/*/cases/*/diffs/*",
        "workspaces/*/audit/*", "workspaces/*/audit-head.json",
      ]
      write  = ["workspaces/*/audit/*", "workspaces/*/audit-head.json"]
      delete = []
      list   = ["nothing"] # no key begins so
      more   = []
    }
  }

  # Only where reports are locked as they are written.
  lock = [
    for days in [var.object_lock_days] :
    { Sid = "Lock", Effect = "Allow", Action = ["s3:PutObjectRetention"], Resource = ["${local.arns.bucket}/workspaces/*/cases/*/reports/*"] } if days > 0
  ]

  send = { Sid = "Send", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.arns.queue] }

  permissions = {
    for f, g in local.grants : f => concat(
      [
        for s in [
          { Sid = "Read", Effect = "Allow", Action = ["s3:GetObject"], Resource = [for k in g.read : "${local.arns.bucket}/${k}"] },
          { Sid = "Write", Effect = "Allow", Action = ["s3:PutObject"], Resource = [for k in g.write : "${local.arns.bucket}/${k}"] },
          { Sid = "Delete", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = [for k in g.delete : "${local.arns.bucket}/${k}"] },
        ] : s if length(s.Resource) > 0
      ],
      [
        # Without this, S3 says "denied" of what is not there, and absence is an
        # answer here. Where it decides that, there is no prefix to compare.
        {
          Sid       = "List"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [local.arns.bucket]
          Condition = { StringLikeIfExists = { "s3:prefix" = g.list } }
        },
        {
          Sid      = "Crypt"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [local.encryption_key]
          Condition = {
            StringEquals = {
              "kms:ViaService"                   = "s3.${var.region}.amazonaws.com"
              "kms:EncryptionContext:aws:s3:arn" = local.arns.bucket
            }
          }
        },
        { Sid = "Log", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["${local.arns.logs[f]}:log-stream:*"] },
      ],
      g.more,
    )
  }

  # For people who may ask across all workspaces; attached to nobody.
  analyst = [
    {
      Sid    = "Ask"
      Effect = "Allow"
      Action = [
        "athena:BatchGetNamedQuery", "athena:GetNamedQuery", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup",
        "athena:ListNamedQueries", "athena:ListQueryExecutions", "athena:StartQueryExecution", "athena:StopQueryExecution",
      ]
      Resource = ["arn:${local.partition}:athena:${local.here}:workgroup/${var.name}"]
    },
    {
      Sid    = "Tables"
      Effect = "Allow"
      Action = ["glue:GetDatabase", "glue:GetPartition", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
      Resource = [
        "arn:${local.partition}:glue:${local.here}:catalog",
        "arn:${local.partition}:glue:${local.here}:database/${local.names.database}",
        "arn:${local.partition}:glue:${local.here}:table/${local.names.database}/transfers",
      ]
    },
    { Sid = "Read", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${local.arns.bucket}/workspaces/*/tables/transfers/*"] },
    {
      Sid       = "List"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = [local.arns.bucket]
      Condition = { StringLike = { "s3:prefix" = ["workspaces/*/tables/transfers/*"] } }
    },
    {
      Sid      = "Answers"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
      Resource = ["${local.arns.answers}/*"]
    },
    {
      Sid      = "AnswersBucket"
      Effect   = "Allow"
      Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
      Resource = [local.arns.answers]
    },
    { Sid = "Location", Effect = "Allow", Action = ["s3:GetBucketLocation"], Resource = [local.arns.bucket] },
    {
      Sid      = "Crypt"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [local.encryption_key]
      Condition = {
        StringEquals = {
          "kms:ViaService"                   = "s3.${var.region}.amazonaws.com"
          "kms:EncryptionContext:aws:s3:arn" = [local.arns.bucket, local.arns.answers]
        }
      }
    },
  ]
}
