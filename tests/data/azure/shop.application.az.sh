#!/bin/sh
# Identities, federated credentials and role assignments for pods. Every line can be read before it
# runs; a line that was run before changes nothing, except az ad app create. The vaults must use
# Azure RBAC (az keyvault update --enable-rbac-authorization true).
set -eu
ISSUER=https://oidc.test/a/
VAULT_ORDERS_KV=$(az keyvault show --name orders-kv --query id --output tsv)
VAULT_SHOP_KV=$(az keyvault show --name shop-kv --query id --output tsv)

# ServiceAccount other/reader.v2
CLIENT_ID=$(az ad app create --display-name other_reader-v2-8995410f --query appId --output tsv)
az ad sp create --id "$CLIENT_ID" --output none
PRINCIPAL_ID=$(az ad sp show --id "$CLIENT_ID" --query id --output tsv)
az ad app federated-credential create --id "$CLIENT_ID" --parameters '{"name":"other_reader-v2-8995410f","issuer":"'"$ISSUER"'","subject":"system:serviceaccount:other:reader.v2","audiences":["api://AzureADTokenExchange"]}' --output none
echo "ServiceAccount other/reader.v2: azure.workload.identity/client-id: $CLIENT_ID"

# ServiceAccount shop/web
CLIENT_ID=$(az ad app create --display-name shop_web --query appId --output tsv)
az ad sp create --id "$CLIENT_ID" --output none
PRINCIPAL_ID=$(az ad sp show --id "$CLIENT_ID" --query id --output tsv)
az ad app federated-credential create --id "$CLIENT_ID" --parameters '{"name":"shop_web","issuer":"'"$ISSUER"'","subject":"system:serviceaccount:shop:web","audiences":["api://AzureADTokenExchange"]}' --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Certificate User" --scope "$VAULT_SHOP_KV/certificates/web-tls" --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Certificate User" --scope "$VAULT_SHOP_KV/keys/signing" --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Secrets User" --scope "$VAULT_SHOP_KV/secrets/db-password" --output none
echo "ServiceAccount shop/web: azure.workload.identity/client-id: $CLIENT_ID"

# The identity 11111111-1111-1111-1111-111111111111 exists.
CLIENT_ID=11111111-1111-1111-1111-111111111111
PRINCIPAL_ID=$(az ad sp show --id "$CLIENT_ID" --query id --output tsv)
az ad app federated-credential create --id "$CLIENT_ID" --parameters '{"name":"shop_orders","issuer":"'"$ISSUER"'","subject":"system:serviceaccount:shop:orders","audiences":["api://AzureADTokenExchange"]}' --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Secrets User" --scope "$VAULT_ORDERS_KV/secrets/api-token" --output none
az role assignment create --assignee-object-id "$PRINCIPAL_ID" --assignee-principal-type ServicePrincipal --role "Key Vault Secrets User" --scope "$VAULT_SHOP_KV/secrets/orders-tls" --output none
