# Questions across all cases of a workspace. The trace function lays a copy of
# each report's transfers.parquet under workspaces/<ws>/tables/transfers/, since
# Athena reads whole folders and a report holds other files too. Every query names
# one workspace: the partition is injected, so a query without it is refused.

locals {
  # As tracer/report writes them, in its order; infra_test.go compares.
  columns = [
    { name = "chain", type = "string", says = "CAIP-2, such as eip155:1" },
    { name = "block", type = "bigint", says = "" },
    { name = "block_hash", type = "binary", says = "" },
    { name = "time", type = "timestamp", says = "of the block, UTC" },
    { name = "tx_hash", type = "binary", says = "to_hex() shows its digits" },
    { name = "position", type = "string", says = "log index, or the path in the trace" },
    { name = "kind", type = "string", says = "native, internal, token or nft" },
    { name = "from_address", type = "binary", says = "" },
    { name = "to_address", type = "binary", says = "" },
    { name = "asset", type = "string", says = "CAIP-19" },
    { name = "symbol", type = "string", says = "as the token calls itself: proves nothing" },
    { name = "amount", type = "string", says = "base units" },
    { name = "traced", type = "string", says = "base units of it that are a victim's" },
    { name = "traced_usd", type = "decimal(18,2)", says = "at the time" },
    { name = "price_source", type = "string", says = "" },
    { name = "verified", type = "boolean", says = "proven against the block's receipts" },
    { name = "basis", type = "string", says = "node, confirmed by the node, or an indexer's word; empty: no indexer was asked" },
  ]
}

resource "aws_glue_catalog_database" "cases" {
  name        = local.names.database
  description = "What the reports of all cases say."
}

resource "aws_glue_catalog_table" "transfers" {
  name          = "transfers"
  description   = "Transfers of all reports, one file for each report."
  database_name = aws_glue_catalog_database.cases.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "projection.enabled"        = "true"
    "projection.workspace.type" = "injected"
    "storage.location.template" = "s3://${local.names.bucket}/workspaces/$${workspace}/tables/transfers/"
  }

  partition_keys {
    name = "workspace"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${local.names.bucket}/workspaces/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.says
      }
    }
  }
}

resource "aws_athena_workgroup" "cases" {
  name          = var.name
  description   = "Queries over the cases; the settings here bind."
  force_destroy = true # of saved queries; results are not data

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = 10 * 1024 * 1024 * 1024 # 5 cents

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${local.names.answers}/"
      expected_bucket_owner = var.account_id

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = local.encryption_key
      }
    }
  }
}

resource "aws_athena_named_query" "shared" {
  name        = "wallets of several cases"
  description = "Wallets that received traced money in more than one case of a workspace."
  workgroup   = aws_athena_workgroup.cases.name
  database    = aws_glue_catalog_database.cases.name
  query       = file("${path.module}/shared.sql")
}

# Answers hold what the cases hold, for a week.
resource "aws_s3_bucket" "answers" {
  bucket        = local.names.answers
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "answers" {
  bucket                  = aws_s3_bucket.answers.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "answers" {
  bucket = aws_s3_bucket.answers.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.encryption_key
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "answers" {
  bucket = aws_s3_bucket.answers.id

  rule {
    id     = "week"
    status = "Enabled"
    filter {}

    expiration {
      days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "answers" {
  bucket = aws_s3_bucket.answers.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TLSOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.arns.answers, "${local.arns.answers}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.answers]
}

# For whoever may ask across all workspaces; attached to nobody.
resource "aws_iam_policy" "analyst" {
  name        = "${var.name}-analyst"
  description = "Ask Athena about the transfers of all cases."

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.analyst
  })
}
