// Identities, federated credentials and role assignments for pods. Deploy it to the resource group
// of the vaults, which must use Azure RBAC; identities are created there too.
// Bicep knows no type for certificates of a vault and warns about them (BCP081).

@description('OIDC issuer of the cluster')
param issuer string
param location string = resourceGroup().location

resource vault_orders__kv 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: 'orders-kv'
}

resource vault_shop__kv 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: 'shop-kv'
}

resource certificates_shop__kv_web__tls 'Microsoft.KeyVault/vaults/certificates@2023-07-01' existing = {
  parent: vault_shop__kv
  name: 'web-tls'
}

resource keys_shop__kv_signing 'Microsoft.KeyVault/vaults/keys@2023-07-01' existing = {
  parent: vault_shop__kv
  name: 'signing'
}

resource secrets_orders__kv_api__token 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault_orders__kv
  name: 'api-token'
}

resource secrets_shop__kv_db__password 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault_shop__kv
  name: 'db-password'
}

resource secrets_shop__kv_orders__tls 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault_shop__kv
  name: 'orders-tls'
}

// identity of ServiceAccount other/reader.v2

resource id_other_reader__v2__8995410f 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'other_reader-v2-8995410f'
  location: location
}

resource id_other_reader__v2__8995410f_other_reader__v2__8995410f 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: id_other_reader__v2__8995410f
  name: 'other_reader-v2-8995410f'
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:other:reader.v2'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

output id_other_reader__v2__8995410f_client_id string = id_other_reader__v2__8995410f.properties.clientId

// identity of ServiceAccount shop/web

resource id_shop_web 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'shop_web'
  location: location
}

resource id_shop_web_shop_web 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: id_shop_web
  name: 'shop_web'
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:shop:web'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource id_shop_web_shop__kv_certificates_web__tls 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: certificates_shop__kv_web__tls
  name: guid(certificates_shop__kv_web__tls.id, id_shop_web.id, 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
  properties: {
    // Key Vault Certificate User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
    principalId: id_shop_web.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource id_shop_web_shop__kv_keys_signing 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: keys_shop__kv_signing
  name: guid(keys_shop__kv_signing.id, id_shop_web.id, 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
  properties: {
    // Key Vault Certificate User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
    principalId: id_shop_web.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource id_shop_web_shop__kv_secrets_db__password 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: secrets_shop__kv_db__password
  name: guid(secrets_shop__kv_db__password.id, id_shop_web.id, '4633458b-17de-408a-b874-0445c86b69e6')
  properties: {
    // Key Vault Secrets User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: id_shop_web.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

output id_shop_web_client_id string = id_shop_web.properties.clientId

// identity 11111111-1111-1111-1111-111111111111
@description('Name of the identity 11111111-1111-1111-1111-111111111111')
param id_11111111__1111__1111__1111__111111111111_name string

resource id_11111111__1111__1111__1111__111111111111 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: id_11111111__1111__1111__1111__111111111111_name
}

resource id_11111111__1111__1111__1111__111111111111_shop_orders 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: id_11111111__1111__1111__1111__111111111111
  name: 'shop_orders'
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:shop:orders'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource id_11111111__1111__1111__1111__111111111111_orders__kv_secrets_api__token 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: secrets_orders__kv_api__token
  name: guid(secrets_orders__kv_api__token.id, id_11111111__1111__1111__1111__111111111111.id, '4633458b-17de-408a-b874-0445c86b69e6')
  properties: {
    // Key Vault Secrets User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: id_11111111__1111__1111__1111__111111111111.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource id_11111111__1111__1111__1111__111111111111_shop__kv_secrets_orders__tls 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: secrets_shop__kv_orders__tls
  name: guid(secrets_shop__kv_orders__tls.id, id_11111111__1111__1111__1111__111111111111.id, '4633458b-17de-408a-b874-0445c86b69e6')
  properties: {
    // Key Vault Secrets User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: id_11111111__1111__1111__1111__111111111111.properties.principalId
    principalType: 'ServicePrincipal'
  }
}
