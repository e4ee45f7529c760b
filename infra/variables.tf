variable "account_id" {
  description = "AWS account to deploy to; the provider refuses any other."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be the 12 digits of an AWS account."
  }
}

variable "region" {
  description = "AWS region, for example eu-central-1. Everything stands in this one region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as eu-central-1."
  }
}

variable "name" {
  description = "Prefix of every name, so that several deployments can share an account."
  type        = string
  default     = "scamtrace"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name)) && !can(regex("--|aws|amazon|cognito", var.name))
    error_message = "name must be 3 to 20 lower-case letters, digits and single hyphens, beginning with a letter, without \"aws\", \"amazon\" or \"cognito\"."
  }
}

variable "tags" {
  description = "Tags on everything, beside Project and ManagedBy."
  type        = map(string)
  default     = {}
}

variable "dist" {
  description = "Folder with the packages that `make package` writes."
  type        = string
  default     = "../dist"
}

# The walk.

variable "trace_memory" {
  description = "Memory of the trace function in MiB. A trace waits for its node most of the time, so more is needed for large graphs only."
  type        = number
  default     = 1024

  validation {
    condition     = var.trace_memory >= 256 && var.trace_memory <= 10240 && floor(var.trace_memory) == var.trace_memory
    error_message = "trace_memory must be a whole number of MiB from 256 to 10240."
  }
}

variable "trace_concurrency" {
  description = "Traces at work at once: the brake on requests to the nodes."
  type        = number
  default     = 4

  validation {
    condition     = var.trace_concurrency >= 2 && var.trace_concurrency <= 1000 && floor(var.trace_concurrency) == var.trace_concurrency
    error_message = "trace_concurrency must be a whole number from 2 (the least that SQS takes) to 1000."
  }
}

variable "node_rate" {
  description = "Calls a second to the nodes, of all traces together."
  type        = number
  default     = 100

  validation {
    condition     = var.node_rate >= var.trace_concurrency && var.node_rate <= 100000
    error_message = "node_rate must be from one call a second for each of trace_concurrency to 100000."
  }
}

variable "reserve_concurrency" {
  description = "Reserve concurrency for each function, which also caps it. A new account has 10 in all and cannot: set false until its quota is raised."
  type        = bool
  default     = true
}

variable "schedule_minutes" {
  description = "Minutes between two runs of the schedule, which finds due re-traces and lost messages."
  type        = number
  default     = 5

  validation {
    condition     = var.schedule_minutes >= 2 && var.schedule_minutes <= 60 && floor(var.schedule_minutes) == var.schedule_minutes
    error_message = "schedule_minutes must be a whole number from 2 to 60."
  }
}

# Who may come in.

variable "oidc" {
  description = "An OIDC issuer to use instead of a Cognito user pool: its URL and the audience of its tokens. They must carry the claims custom:workspace and custom:role."
  type = object({
    issuer   = string
    audience = string
  })
  default = null

  validation {
    condition     = var.oidc == null || can(regex("^https://[^/?#@]+(/[^?#]*)?$", var.oidc.issuer)) && try(var.oidc.audience, "") != ""
    error_message = "oidc needs an https issuer without query or fragment, and an audience."
  }
}

variable "requests_per_second" {
  description = "Requests a second that the API takes from everybody together; bursts may be twice as high."
  type        = number
  default     = 20

  validation {
    condition     = var.requests_per_second >= 1 && var.requests_per_second <= 1000
    error_message = "requests_per_second must be from 1 to 1000."
  }
}

variable "cases_per_day" {
  description = "Cases and re-traces that one workspace may ask for in a day."
  type        = number
  default     = 200

  validation {
    condition     = var.cases_per_day >= 1 && floor(var.cases_per_day) == var.cases_per_day
    error_message = "cases_per_day must be a whole number above 0."
  }
}

# Whom to tell what moved.

variable "alert_usd" {
  description = "Alerts are of at least this many US dollars; a workspace may ask for another sum."
  type        = number
  default     = 100

  validation {
    condition     = var.alert_usd > 0 && floor(var.alert_usd) == var.alert_usd
    error_message = "alert_usd must be a whole number of dollars above 0."
  }
}

variable "webhook_hosts" {
  description = "Hosts that webhooks of workspaces may lead to. None but these."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for h in var.webhook_hosts : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z][a-z0-9-]*[a-z0-9]$", h))])
    error_message = "webhook_hosts must be host names in small letters, such as hooks.example.org."
  }
}

# What is kept, and for how long.

variable "retention_days" {
  description = "Days after which what a person gave with a case is erased."
  type        = number
  default     = 180

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 3650 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number from 1 to 3650."
  }
}

variable "version_days" {
  description = "Days for which a replaced or deleted object can be brought back. What a person gave is gone for good one day after its erasure."
  type        = number
  default     = 30

  validation {
    condition     = var.version_days >= 1 && var.version_days <= 365 && floor(var.version_days) == var.version_days
    error_message = "version_days must be a whole number from 1 to 365."
  }
}

variable "object_lock_days" {
  description = "Days for which nobody without s3:BypassGovernanceRetention can delete a report (S3 Object Lock, governance). 0 is off. Decide before the first deployment: a bucket gets Object Lock when it is made, and keeps it."
  type        = number
  default     = 0

  validation {
    condition     = var.object_lock_days >= 0 && var.object_lock_days <= 3650 && floor(var.object_lock_days) == var.object_lock_days
    error_message = "object_lock_days must be a whole number from 0 to 3650."
  }
}

variable "quotes" {
  description = "Where dollar prices that public/prices/ does not have come from: chainlink (the feeds on the chain itself) or none."
  type        = string
  default     = "chainlink"

  validation {
    condition     = contains(["chainlink", "none"], var.quotes)
    error_message = "quotes must be chainlink or none."
  }
}

variable "indexers" {
  description = "Indexers to ask before the nodes, of the chains that they have, the first first: sqd, etherscan, blockscout, alchemy, trongrid; or none. They learn which wallets are looked at. Empty: sqd, except for nodes in a private network."
  type        = list(string)
  default     = []

  validation {
    condition     = var.indexers == tolist(["none"]) || alltrue([for x in var.indexers : contains(["sqd", "etherscan", "blockscout", "alchemy", "trongrid"], x)]) && length(distinct(var.indexers)) == length(var.indexers)
    error_message = "indexers must be some of sqd, etherscan, blockscout, alchemy and trongrid, each once, or none alone."
  }
}

variable "log_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be a retention that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "keep_data" {
  description = "Refuse to destroy the bucket while it holds cases, and the user pool at all. Set false, apply, then destroy."
  type        = bool
  default     = true
}

# Keys.

variable "signing_key_year" {
  description = "Names the signing key. Another value makes a new key; the old one is kept, but signs nothing more."
  type        = number
  default     = 2026

  validation {
    condition     = var.signing_key_year >= 2025 && floor(var.signing_key_year) == var.signing_key_year
    error_message = "signing_key_year must be a year."
  }
}

variable "signing_key_arn" {
  description = "An ECC_NIST_EDWARDS25519 key made elsewhere, to sign with instead of one made here."
  type        = string
  default     = ""

  validation {
    condition     = var.signing_key_arn == "" || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.signing_key_arn))
    error_message = "signing_key_arn must be the ARN of a KMS key, not an alias."
  }
}

# Whom to wake.

variable "alarm_email" {
  description = "Address that is told of alarms and of the budget; it must confirm the subscription. Empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.alarm_email == "" || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alarm_email))
    error_message = "alarm_email must be an e-mail address."
  }
}

variable "budget_usd" {
  description = "Monthly budget of the whole account in US dollars: told at 80% and 100% spent, and when 100% is forecast."
  type        = number
  default     = 50

  validation {
    condition     = var.budget_usd >= 1
    error_message = "budget_usd must be at least 1."
  }
}
