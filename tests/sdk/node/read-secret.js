// Prints the secret SECRET_NAME of the vault VAULT_URL; the argument names the credential.
import { ManagedIdentityCredential, WorkloadIdentityCredential } from "@azure/identity";
// docs: begin
import { DefaultAzureCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";

async function readSecret(vaultUrl, name, credential = new DefaultAzureCredential()) {
  const client = new SecretClient(vaultUrl, credential);
  const secret = await client.getSecret(name);
  return secret.value;
}
// docs: end

function credential(kind) {
  switch (kind) {
    case "workload":
      return new WorkloadIdentityCredential();
    case "managed":
      return new ManagedIdentityCredential({ clientId: process.env.IDENTITY_CLIENT_ID });
    case "default":
      return new DefaultAzureCredential();
  }
}

try {
  const { VAULT_URL, SECRET_NAME } = process.env;
  console.log(await readSecret(VAULT_URL, SECRET_NAME, credential(process.argv[2])));
} catch (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
