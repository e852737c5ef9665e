// Command sdk-check prints the secret SECRET_NAME of the vault VAULT_URL; the argument names the
// credential.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// docs: begin
func readSecret(ctx context.Context, vaultURL, name string, credential azcore.TokenCredential) (string, error) {
	client, err := azsecrets.NewClient(vaultURL, credential, nil)
	if err != nil {
		return "", err
	}
	secret, err := client.GetSecret(ctx, name, "", nil)
	if err != nil {
		return "", err
	}
	return *secret.Value, nil
}

// docs: end

func credential(kind string) (azcore.TokenCredential, error) {
	switch kind {
	case "workload":
		return azidentity.NewWorkloadIdentityCredential(nil)
	case "managed":
		options := &azidentity.ManagedIdentityCredentialOptions{}
		if id := os.Getenv("IDENTITY_CLIENT_ID"); id != "" {
			options.ID = azidentity.ClientID(id)
		}
		return azidentity.NewManagedIdentityCredential(options)
	default:
		return azidentity.NewDefaultAzureCredential(nil)
	}
}

func run(kind string) (string, error) {
	found, err := credential(kind)
	if err != nil {
		return "", err
	}
	return readSecret(context.Background(), os.Getenv("VAULT_URL"), os.Getenv("SECRET_NAME"), found)
}

func main() {
	value, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(value)
}
