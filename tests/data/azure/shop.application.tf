# Identities, federated credentials and role assignments for pods. The vaults must use Azure RBAC.

terraform {
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = "~> 3.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

variable "issuer" {
  type        = string
  description = "OIDC issuer of the cluster"
}

variable "vault_ids" {
  type        = map(string)
  description = "Resource id of each vault by its name: orders-kv, shop-kv"
}

# identity of ServiceAccount other/reader.v2

resource "azuread_application" "id_other_reader-v2-8995410f" {
  display_name = "other_reader-v2-8995410f"
}

resource "azuread_service_principal" "id_other_reader-v2-8995410f" {
  client_id = azuread_application.id_other_reader-v2-8995410f.client_id
}

resource "azuread_application_federated_identity_credential" "id_other_reader-v2-8995410f_other_reader-v2-8995410f" {
  display_name   = "other_reader-v2-8995410f"
  application_id = azuread_application.id_other_reader-v2-8995410f.id
  issuer         = var.issuer
  subject        = "system:serviceaccount:other:reader.v2"
  audiences      = ["api://AzureADTokenExchange"]
}

output "id_other_reader-v2-8995410f_client_id" {
  value = azuread_application.id_other_reader-v2-8995410f.client_id
}

# identity of ServiceAccount shop/web

resource "azuread_application" "id_shop_web" {
  display_name = "shop_web"
}

resource "azuread_service_principal" "id_shop_web" {
  client_id = azuread_application.id_shop_web.client_id
}

resource "azuread_application_federated_identity_credential" "id_shop_web_shop_web" {
  display_name   = "shop_web"
  application_id = azuread_application.id_shop_web.id
  issuer         = var.issuer
  subject        = "system:serviceaccount:shop:web"
  audiences      = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_certificates_web-tls" {
  scope                = "${var.vault_ids["shop-kv"]}/certificates/web-tls"
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azuread_service_principal.id_shop_web.object_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_keys_signing" {
  scope                = "${var.vault_ids["shop-kv"]}/keys/signing"
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azuread_service_principal.id_shop_web.object_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_secrets_db-password" {
  scope                = "${var.vault_ids["shop-kv"]}/secrets/db-password"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azuread_service_principal.id_shop_web.object_id
  principal_type       = "ServicePrincipal"
}

output "id_shop_web_client_id" {
  value = azuread_application.id_shop_web.client_id
}

# identity 11111111-1111-1111-1111-111111111111

data "azuread_application" "id_11111111-1111-1111-1111-111111111111" {
  client_id = "11111111-1111-1111-1111-111111111111"
}

data "azuread_service_principal" "id_11111111-1111-1111-1111-111111111111" {
  client_id = "11111111-1111-1111-1111-111111111111"
}

resource "azuread_application_federated_identity_credential" "id_11111111-1111-1111-1111-111111111111_shop_orders" {
  display_name   = "shop_orders"
  application_id = data.azuread_application.id_11111111-1111-1111-1111-111111111111.id
  issuer         = var.issuer
  subject        = "system:serviceaccount:shop:orders"
  audiences      = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "id_11111111-1111-1111-1111-111111111111_orders-kv_secrets_api-token" {
  scope                = "${var.vault_ids["orders-kv"]}/secrets/api-token"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = data.azuread_service_principal.id_11111111-1111-1111-1111-111111111111.object_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_11111111-1111-1111-1111-111111111111_shop-kv_secrets_orders-tls" {
  scope                = "${var.vault_ids["shop-kv"]}/secrets/orders-tls"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = data.azuread_service_principal.id_11111111-1111-1111-1111-111111111111.object_id
  principal_type       = "ServicePrincipal"
}
