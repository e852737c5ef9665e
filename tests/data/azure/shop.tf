# Identities, federated credentials and role assignments for pods. The vaults must use Azure RBAC.

terraform {
  required_providers {
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

variable "resource_group" {
  type        = string
  description = "Resource group of the identities"
  default     = "identities"
}

variable "vault_ids" {
  type        = map(string)
  description = "Resource id of each vault by its name: orders-kv, shop-kv"
}

variable "id_11111111-1111-1111-1111-111111111111_name" {
  type        = string
  description = "Name of the identity with the client id 11111111-1111-1111-1111-111111111111"
}

variable "id_11111111-1111-1111-1111-111111111111_resource_group" {
  type        = string
  description = "Resource group of the identity with the client id 11111111-1111-1111-1111-111111111111"
}

data "azurerm_resource_group" "identities" {
  name = var.resource_group
}

# identity of ServiceAccount other/reader.v2

resource "azurerm_user_assigned_identity" "id_other_reader-v2-8995410f" {
  name                = "other_reader-v2-8995410f"
  resource_group_name = data.azurerm_resource_group.identities.name
  location            = data.azurerm_resource_group.identities.location
}

resource "azurerm_federated_identity_credential" "id_other_reader-v2-8995410f_other_reader-v2-8995410f" {
  name                = "other_reader-v2-8995410f"
  resource_group_name = azurerm_user_assigned_identity.id_other_reader-v2-8995410f.resource_group_name
  parent_id           = azurerm_user_assigned_identity.id_other_reader-v2-8995410f.id
  issuer              = var.issuer
  subject             = "system:serviceaccount:other:reader.v2"
  audience            = ["api://AzureADTokenExchange"]
}

output "id_other_reader-v2-8995410f_client_id" {
  value = azurerm_user_assigned_identity.id_other_reader-v2-8995410f.client_id
}

# identity of ServiceAccount shop/web

resource "azurerm_user_assigned_identity" "id_shop_web" {
  name                = "shop_web"
  resource_group_name = data.azurerm_resource_group.identities.name
  location            = data.azurerm_resource_group.identities.location
}

resource "azurerm_federated_identity_credential" "id_shop_web_shop_web" {
  name                = "shop_web"
  resource_group_name = azurerm_user_assigned_identity.id_shop_web.resource_group_name
  parent_id           = azurerm_user_assigned_identity.id_shop_web.id
  issuer              = var.issuer
  subject             = "system:serviceaccount:shop:web"
  audience            = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_certificates_web-tls" {
  scope                = "${var.vault_ids["shop-kv"]}/certificates/web-tls"
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azurerm_user_assigned_identity.id_shop_web.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_keys_signing" {
  scope                = "${var.vault_ids["shop-kv"]}/keys/signing"
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azurerm_user_assigned_identity.id_shop_web.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_shop_web_shop-kv_secrets_db-password" {
  scope                = "${var.vault_ids["shop-kv"]}/secrets/db-password"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.id_shop_web.principal_id
  principal_type       = "ServicePrincipal"
}

output "id_shop_web_client_id" {
  value = azurerm_user_assigned_identity.id_shop_web.client_id
}

# identity 11111111-1111-1111-1111-111111111111

data "azurerm_user_assigned_identity" "id_11111111-1111-1111-1111-111111111111" {
  name                = var.id_11111111-1111-1111-1111-111111111111_name
  resource_group_name = var.id_11111111-1111-1111-1111-111111111111_resource_group
}

resource "azurerm_federated_identity_credential" "id_11111111-1111-1111-1111-111111111111_shop_orders" {
  name                = "shop_orders"
  resource_group_name = data.azurerm_user_assigned_identity.id_11111111-1111-1111-1111-111111111111.resource_group_name
  parent_id           = data.azurerm_user_assigned_identity.id_11111111-1111-1111-1111-111111111111.id
  issuer              = var.issuer
  subject             = "system:serviceaccount:shop:orders"
  audience            = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "id_11111111-1111-1111-1111-111111111111_orders-kv_secrets_api-token" {
  scope                = "${var.vault_ids["orders-kv"]}/secrets/api-token"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = data.azurerm_user_assigned_identity.id_11111111-1111-1111-1111-111111111111.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_11111111-1111-1111-1111-111111111111_shop-kv_secrets_orders-tls" {
  scope                = "${var.vault_ids["shop-kv"]}/secrets/orders-tls"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = data.azurerm_user_assigned_identity.id_11111111-1111-1111-1111-111111111111.principal_id
  principal_type       = "ServicePrincipal"
}
