# Who may come in: a Cognito user pool, unless another issuer is given. Workspace
# and role are attributes that administrators set and users cannot change.

locals {
  cognito  = var.oidc == null
  issuer   = local.cognito ? "https://cognito-idp.${var.region}.amazonaws.com/${one(aws_cognito_user_pool.users[*].id)}" : var.oidc.issuer
  audience = local.cognito ? one(aws_cognito_user_pool_client.page[*].id) : var.oidc.audience
}

resource "aws_cognito_user_pool" "users" {
  count = local.cognito ? 1 : 0

  name                     = "${var.name}-users"
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]
  mfa_configuration        = "ON"
  deletion_protection      = var.keep_data ? "ACTIVE" : "INACTIVE"

  username_configuration {
    case_sensitive = false
  }

  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  software_token_mfa_configuration {
    enabled = true
  }

  password_policy {
    minimum_length                   = 12
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = false
    require_uppercase                = true
    temporary_password_validity_days = 3
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "verified_email"
      priority = 1
    }
  }

  user_attribute_update_settings {
    attributes_require_verification_before_update = ["email"]
  }

  # A user belongs to one workspace for good.
  schema {
    name                = "workspace"
    attribute_data_type = "String"
    mutable             = false

    string_attribute_constraints {
      min_length = "1"
      max_length = "63"
    }
  }

  schema {
    name                = "role" # advocate, investigator, admin, or several with spaces
    attribute_data_type = "String"
    mutable             = true

    string_attribute_constraints {
      min_length = "5"
      max_length = "40"
    }
  }
}

resource "aws_cognito_user_pool_domain" "users" {
  count = local.cognito ? 1 : 0

  domain       = "${var.name}-${var.account_id}"
  user_pool_id = aws_cognito_user_pool.users[0].id
}

# The page signs in with a code and PKCE; it can keep no secret. The API takes the
# ID token, which alone carries the attributes.
resource "aws_cognito_user_pool_client" "page" {
  count = local.cognito ? 1 : 0

  name         = "${var.name}-page"
  user_pool_id = aws_cognito_user_pool.users[0].id

  generate_secret                      = false
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["code"]
  allowed_oauth_scopes                 = ["openid", "email"]
  supported_identity_providers         = ["COGNITO"]
  callback_urls                        = ["${aws_apigatewayv2_api.api.api_endpoint}/"]
  logout_urls                          = ["${aws_apigatewayv2_api.api.api_endpoint}/"]
  explicit_auth_flows                  = ["ALLOW_REFRESH_TOKEN_AUTH"] # signing in is for the sign-in page alone
  prevent_user_existence_errors        = "ENABLED"
  enable_token_revocation              = true

  read_attributes  = ["email", "custom:workspace", "custom:role"]
  write_attributes = ["email"] # not workspace, not role

  id_token_validity      = 1
  access_token_validity  = 1
  refresh_token_validity = 12

  token_validity_units {
    id_token      = "hours"
    access_token  = "hours"
    refresh_token = "hours"
  }
}
