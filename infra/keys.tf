# Two keys. One encrypts what is stored; one signs bundles, and only the trace
# function can use it.

resource "aws_kms_key" "encryption" {
  description             = "${var.name}: encrypts cases, alerts and answers of Athena."
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # The account decides by IAM who uses it.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${var.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "encryption" {
  name          = "alias/${var.name}-encryption"
  target_key_id = aws_kms_key.encryption.key_id
}

# Version 5 of the provider does not know Ed25519 keys (ECC_NIST_EDWARDS25519), so
# CloudFormation makes this one. It outlives the stack, and every year's key the
# next: a signature must stay explainable.
resource "aws_cloudformation_stack" "signing" {
  count = var.signing_key_arn == "" ? 1 : 0
  name  = "${var.name}-signing"

  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "The Ed25519 key that signs the bundles of ${var.name}."
    Resources = {
      "Key${var.signing_key_year}" = {
        Type                = "AWS::KMS::Key"
        DeletionPolicy      = "Retain"
        UpdateReplacePolicy = "Retain"
        Properties = {
          Description = "${var.name}: signs bundles, ${var.signing_key_year}."
          KeySpec     = "ECC_NIST_EDWARDS25519"
          KeyUsage    = "SIGN_VERIFY"
          KeyPolicy   = local.signing_policy
        }
      }
    }
    Outputs = {
      Arn = { Value = { "Fn::GetAtt" = ["Key${var.signing_key_year}", "Arn"] } }
    }
  })
}

locals {
  # Administrators cannot sign, and the role that signs cannot administer. The
  # role is named by a condition, so the policy survives its being made anew.
  signing_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administer"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${var.account_id}:root" }
        Action = [
          "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey",
          "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:GetPublicKey", "kms:ListAliases", "kms:ListKeyPolicies",
          "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
          "kms:UpdateAlias", "kms:UpdateKeyDescription", "kms:Verify",
        ]
        Resource = "*"
      },
      {
        Sid       = "Sign"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${var.account_id}:root" }
        Action    = "kms:Sign"
        Resource  = "*"
        Condition = {
          ArnEquals    = { "aws:PrincipalArn" = local.arns.roles.trace }
          StringEquals = { "kms:SigningAlgorithm" = "ED25519_SHA_512" }
        }
      },
    ]
  }
}
