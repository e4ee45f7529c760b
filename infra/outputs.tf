output "url" {
  description = "The page and the API."
  value       = aws_apigatewayv2_api.api.api_endpoint
}

output "bucket" {
  description = "The bucket of the cases."
  value       = local.names.bucket
}

output "queue_url" {
  description = "The queue of jobs."
  value       = local.queue_url
}

output "dead_letter_arn" {
  description = "The queue of jobs put aside, for redriving."
  value       = local.arns.dead
}

output "alerts_topic_arn" {
  description = "Where to subscribe to what moved."
  value       = local.arns.alerts
}

output "alarms_topic_arn" {
  description = "Where to subscribe to what is broken."
  value       = local.arns.alarms
}

output "signing_key_arn" {
  description = "The Ed25519 key that signs bundles. Publish its public half: aws kms get-public-key."
  value       = local.signing_key
}

output "issuer" {
  description = "Who signs the tokens."
  value       = local.issuer
}

output "client_id" {
  description = "For whom the tokens are."
  value       = local.audience
}

output "user_pool_id" {
  description = "The user pool, unless another issuer is used."
  value       = one(aws_cognito_user_pool.users[*].id)
}

output "sign_in" {
  description = "The sign-in page, unless another issuer is used."
  value       = local.cognito ? "https://${one(aws_cognito_user_pool_domain.users[*].domain)}.auth.${var.region}.amazoncognito.com" : null
}

output "dashboard" {
  description = "What to look at first."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${var.name}"
}

output "workgroup" {
  description = "The Athena workgroup, and the database of the same name with _ for -."
  value       = aws_athena_workgroup.cases.name
}
