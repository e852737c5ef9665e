#!/bin/sh
# Identities, federated credentials and role assignments for pods. Every line can be read before it
# runs; a line that was run before changes nothing, except az ad app create. The vaults must use
# Azure RBAC (az keyvault update --enable-rbac-authorization true).
set -eu
RESOURCE_GROUP=${RESOURCE_GROUP:?resource group of the identities}
ISSUER=${ISSUER:?OIDC issuer of the cluster: az aks show --query oidcIssuerProfile.issuerUrl}
VAULT_MY_VAULT=$(az keyvault show --name my-vault --query id --output tsv)

# ServiceAccount shop/web
az identity create --name shop_web --resource-group "$RESOURCE_GROUP" --output none
CLIENT_ID=$(az identity show --name shop_web --resource-group "$RESOURCE_GROUP" --query clientId --output tsv)
PRINCIPAL_ID=$(az identity show --name shop_web --resource-group "$RESOURCE_GROUP" --query principalId --output tsv)
az identity federated-credential create --name shop_web --identity-name shop_web --resource-group "$RESOURCE_GROUP" --issuer "$ISSUER" --subject system:serviceaccount:shop:web --audiences api://AzureADTokenExchange --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Certificate User" --scope "$VAULT_MY_VAULT/certificates/shop-ca" --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Secrets User" --scope "$VAULT_MY_VAULT/secrets/db-password" --output none
echo "ServiceAccount shop/web: azure.workload.identity/client-id: $CLIENT_ID"
