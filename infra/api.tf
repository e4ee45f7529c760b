# The HTTP API. Each route is written out: what is not here is not served.

locals {
  # route: whether a token is needed
  routes = {
    submit = {
      "GET /"                       = false
      "GET /{file}"                 = false # of the page
      "GET /healthz"                = false
      "GET /v1/openapi.json"        = false
      "POST /v1/parse"              = true
      "POST /v1/cases"              = true
      "GET /v1/cases"               = true
      "GET /v1/cases/{id}"          = true
      "DELETE /v1/cases/{id}"       = true
      "POST /v1/cases/{id}/retrace" = true
      "GET /v1/workspace"           = true
      "PUT /v1/workspace"           = true
      "GET /v1/audit"               = true
    }
    download = {
      "GET /v1/cases/{id}/reports/{block}/{file}" = true
    }
  }

  # Costly ones get a tenth of the rate.
  slow = ["POST /v1/cases", "POST /v1/cases/{id}/retrace"]

  route = merge([for f, routes in local.routes : { for key, token in routes : key => { function = f, token = token } }]...)
}

resource "aws_apigatewayv2_api" "api" {
  name          = "${var.name}-api"
  description   = "scamtrace: cases in, reports out."
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_authorizer" "token" {
  name             = "token"
  api_id           = aws_apigatewayv2_api.api.id
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = local.issuer
    audience = [local.audience]
  }
}

resource "aws_apigatewayv2_integration" "functions" {
  for_each = local.routes

  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.this[each.key].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 1000 * (local.functions[each.key].timeout + 1)
}

resource "aws_apigatewayv2_route" "routes" {
  for_each = local.route

  api_id             = aws_apigatewayv2_api.api.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.functions[each.value.function].id}"
  authorization_type = each.value.token ? "JWT" : "NONE"
  authorizer_id      = each.value.token ? aws_apigatewayv2_authorizer.token.id : null
}

resource "aws_lambda_permission" "api" {
  for_each = local.routes

  statement_id   = "api"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this[each.key].function_name
  principal      = "apigateway.amazonaws.com"
  source_arn     = "${aws_apigatewayv2_api.api.execution_arn}/$default/*"
  source_account = var.account_id
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.api.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.requests_per_second
    throttling_burst_limit = 2 * var.requests_per_second
  }

  dynamic "route_settings" {
    for_each = local.slow

    content {
      route_key              = route_settings.value
      throttling_rate_limit  = max(1, var.requests_per_second / 10)
      throttling_burst_limit = max(2, ceil(var.requests_per_second / 5))
    }
  }

  # No address, no path and no token: a path names a case.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format = jsonencode({
      request     = "$context.requestId"
      time        = "$context.requestTimeEpoch"
      route       = "$context.routeKey"
      status      = "$context.status"
      bytes       = "$context.responseLength"
      latency     = "$context.responseLatency"
      integration = "$context.integrationErrorMessage"
      authorizer  = "$context.authorizer.error"
    })
  }

  depends_on = [aws_apigatewayv2_route.routes]
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_days
}
