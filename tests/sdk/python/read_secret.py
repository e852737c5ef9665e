"""Prints the secret SECRET_NAME of the vault VAULT_URL; the argument names the credential."""

import os
import sys

from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential

# docs: begin
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient


def read_secret(vault_url, name, credential=None):
    client = SecretClient(vault_url, credential or DefaultAzureCredential())
    return client.get_secret(name).value
# docs: end


def credential(kind):
    match kind:
        case "workload":
            return WorkloadIdentityCredential()
        case "managed":
            return ManagedIdentityCredential(client_id=os.environ.get("IDENTITY_CLIENT_ID"))
        case "default":
            return DefaultAzureCredential()


if __name__ == "__main__":
    try:
        found = credential(sys.argv[1])
        print(read_secret(os.environ["VAULT_URL"], os.environ["SECRET_NAME"], found))
    except Exception as error:  # every failure of the SDK is shown as it is
        sys.exit(f"{type(error).__name__}: {error}")
