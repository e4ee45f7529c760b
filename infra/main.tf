# scamtrace on AWS. One file a subject; names, permissions and environments come
# from the tables in names.tf and functions.tf and are asserted in infra_test.go.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id] # a plan for one account never reaches another

  default_tags {
    tags = merge({ Project = var.name, ManagedBy = "terraform" }, var.tags)
  }
}

data "aws_partition" "current" {}
