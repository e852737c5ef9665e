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
}

variable "vault_ids" {
  type        = map(string)
  description = "Resource id of each vault by its name: my-vault"
}

data "azurerm_resource_group" "identities" {
  name = var.resource_group
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

resource "azurerm_role_assignment" "id_shop_web_my-vault_certificates_shop-ca" {
  scope                = "${var.vault_ids["my-vault"]}/certificates/shop-ca"
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azurerm_user_assigned_identity.id_shop_web.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "id_shop_web_my-vault_secrets_db-password" {
  scope                = "${var.vault_ids["my-vault"]}/secrets/db-password"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.id_shop_web.principal_id
  principal_type       = "ServicePrincipal"
}

output "id_shop_web_client_id" {
  value = azurerm_user_assigned_identity.id_shop_web.client_id
}
