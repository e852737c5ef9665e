// Identities, federated credentials and role assignments for pods. Deploy it to the resource group
// of the vaults, which must use Azure RBAC; identities are created there too.
// Bicep knows no type for certificates of a vault and warns about them (BCP081).

@description('OIDC issuer of the cluster')
param issuer string
param location string = resourceGroup().location

resource vault_my__vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: 'my-vault'
}

resource certificates_my__vault_shop__ca 'Microsoft.KeyVault/vaults/certificates@2023-07-01' existing = {
  parent: vault_my__vault
  name: 'shop-ca'
}

resource secrets_my__vault_db__password 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault_my__vault
  name: 'db-password'
}

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

resource id_shop_web_my__vault_certificates_shop__ca 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: certificates_my__vault_shop__ca
  name: guid(certificates_my__vault_shop__ca.id, id_shop_web.id, 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
  properties: {
    // Key Vault Certificate User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'db79e9a7-68ee-4b58-9aeb-b90e7c24fcba')
    principalId: id_shop_web.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource id_shop_web_my__vault_secrets_db__password 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: secrets_my__vault_db__password
  name: guid(secrets_my__vault_db__password.id, id_shop_web.id, '4633458b-17de-408a-b874-0445c86b69e6')
  properties: {
    // Key Vault Secrets User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: id_shop_web.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

output id_shop_web_client_id string = id_shop_web.properties.clientId
