# The bucket is the only database: objects are created if absent and replaced if
# unchanged, and the bucket itself refuses every other write.

resource "aws_s3_bucket" "cases" {
  bucket              = local.names.bucket
  object_lock_enabled = var.object_lock_days > 0
  force_destroy       = !var.keep_data
}

resource "aws_s3_bucket_public_access_block" "cases" {
  bucket                  = aws_s3_bucket.cases.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "cases" {
  bucket = aws_s3_bucket.cases.id

  rule {
    object_ownership = "BucketOwnerEnforced" # no ACLs
  }
}

resource "aws_s3_bucket_versioning" "cases" {
  bucket = aws_s3_bucket.cases.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "cases" {
  bucket = aws_s3_bucket.cases.id

  rule {
    bucket_key_enabled = true # one request to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.encryption_key
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "cases" {
  bucket = aws_s3_bucket.cases.id

  rule {
    id     = "versions"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.version_days
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # What a person gave is erased by the program after retention_days, and by this
  # should it fail to.
  rule {
    id     = "retention"
    status = "Enabled"

    filter {
      prefix = "personal/"
    }

    expiration {
      days = var.retention_days + 7
    }
  }

  # What was deleted here is gone for good a day later: what a person gave, old
  # addresses of nodes with their keys, and the schedule's many small markers.
  dynamic "rule" {
    for_each = toset(["personal/", "private/", "due/"])

    content {
      id     = trimsuffix(rule.value, "/")
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.cases]
}

locals {
  # Written once, never replaced.
  immutable = [
    "workspaces/*/cases/*/state/*",
    "workspaces/*/cases/*/evidence/*",
    "workspaces/*/cases/*/reports/*",
    "workspaces/*/cases/*/diffs/*",
    "workspaces/*/tables/*",
    "workspaces/*/audit/*",
  ]
}

resource "aws_s3_bucket_policy" "cases" {
  bucket = aws_s3_bucket.cases.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TLSOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.arns.bucket, "${local.arns.bucket}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "TLS12"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.arns.bucket, "${local.arns.bucket}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
      {
        # Parts of a large upload take no condition; its completion does. People
        # write under public/ and private/, by hand.
        Sid         = "ConditionalWritesOnly"
        Effect      = "Deny"
        Principal   = "*"
        Action      = "s3:PutObject"
        NotResource = ["${local.arns.bucket}/public/*", "${local.arns.bucket}/private/*"]
        Condition = {
          Null = { "s3:if-none-match" = "true", "s3:if-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        }
      },
      {
        Sid       = "WrittenOnce"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = [for key in local.immutable : "${local.arns.bucket}/${key}"]
        Condition = {
          Null = { "s3:if-none-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        }
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.cases]
}
