# Copy to terraform.tfvars, which git ignores, and set the first three.
account_id  = "111122223333"
region      = "eu-central-1"
alarm_email = "ops@example.org"

# A few of the others, with their defaults.
name              = "scamtrace"
trace_concurrency = 4   # traces at once; raise with what your nodes can bear
retention_days    = 180 # until what a person gave is erased
object_lock_days  = 0   # 365 keeps reports from everybody for a year
budget_usd        = 50
