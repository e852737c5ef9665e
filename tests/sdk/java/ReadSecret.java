import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
// docs: begin
import com.azure.core.credential.TokenCredential;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.security.keyvault.secrets.SecretClient;
import com.azure.security.keyvault.secrets.SecretClientBuilder;
// docs: pause

/** Prints the secret SECRET_NAME of the vault VAULT_URL; the argument names the credential. */
public final class ReadSecret {
    // docs: resume
    static String readSecret(String vaultUrl, String name, TokenCredential credential) {
        SecretClient client = new SecretClientBuilder()
            .vaultUrl(vaultUrl)
            .credential(credential)
            .buildClient();
        return client.getSecret(name).getValue();
    }
    // docs: end

    static TokenCredential credential(String kind) {
        return switch (kind) {
            case "workload" -> new WorkloadIdentityCredentialBuilder().build();
            case "managed" -> new ManagedIdentityCredentialBuilder()
                .clientId(System.getenv("IDENTITY_CLIENT_ID"))
                .build();
            default -> new DefaultAzureCredentialBuilder().build();
        };
    }

    public static void main(String[] arguments) {
        try {
            System.out.println(readSecret(
                System.getenv("VAULT_URL"), System.getenv("SECRET_NAME"), credential(arguments[0])));
        } catch (RuntimeException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println(cause);
            }
            System.exit(1);
        }
    }
}
