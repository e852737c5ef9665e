//! `KS755` to `KS799`: the commands that look at keys, at the Azure side, at other injectors and at
//! logs of vaults.

use keysluice_plan::reasons;

reasons! { COMMANDS:
    KS755
        "a file with the keys of a token issuer cannot be read, or holds no key"
        "name files in PEM format: RSA or EC keys, public or private, or certificates; the API \
         server's own are those of --service-account-key-file";
    KS756
        "a key is not one with which an API server signs tokens"
        "give an RSA key, or an EC key on P-256, P-384 or P-521, without a password";
    KS757
        "a class selects secrets by prefix or tag, so its identity needs a role on a whole vault"
        "name the objects instead of selecting them, or give these secrets a vault of their own: a \
         role on a vault reads all of its secrets";
    KS758
        "an identity has as many federated credentials as Entra takes, or more"
        "give some of the ServiceAccounts an identity of their own, or use AKS identity bindings, \
         which have no such limit";
    KS759
        "pods read a vault with an identity whose id the manifests do not have"
        "assign the role by hand to the identity of the node pool or to the service principal, or \
         use the pod's own identity: remove useVMManagedIdentity and nodePublishSecretRef";
    KS760
        "a client id is not one, so the identity cannot be looked up"
        "write the client id of the identity (az identity show --query clientId), or remove the \
         annotation azure.workload.identity/client-id to have an identity created";
    KS761
        "the form that was asked for cannot create applications"
        "choose --output az or --output terraform, or managed identities (--identity managed)";
    KS762
        "the output directory of a migration cannot be used"
        "name a directory that does not exist or is empty; inputs are never written over";
    KS763
        "a file cannot be edited in single lines, so it is not written"
        "make the changes that the report lists by hand; anchors, merge keys and lists in one line \
         are what this concerns";
    KS764
        "no identity is known for a pod of AAD Pod Identity"
        "give the AzureIdentity and AzureIdentityBinding of the pod to keysluice migrate too, or \
         annotate the ServiceAccount with azure.workload.identity/client-id by hand";
    KS765
        "several identities are bound to a pod"
        "a pod has one identity in AZURE_CLIENT_ID; let the application choose another one in its \
         code, or set keysluice.dev/client-ids for single containers";
    KS766
        "two workloads share a ServiceAccount and need different identities"
        "give one of them a ServiceAccount of its own";
    KS767
        "the class of a workload is not among what is migrated"
        "give the SecretProviderClass to keysluice migrate too";
    KS768
        "what akv2k8s makes of an object has no counterpart, or the object is not known"
        "give the AzureKeyVaultSecret to keysluice migrate too; what has no counterpart can stay \
         with akv2k8s, or be written as a template of a class";
    KS769
        "an annotation of the Vault Agent Injector has no counterpart, so its pod is not changed"
        "name the objects: --vault NAME, or --map PATH=kv://VAULT/secrets/NAME; write templates \
         anew (docs/templates.md)";
    KS770
        "a file is not migrated because it cannot be read"
        "render Helm templates with helm template first; correct the file in the line that is \
         named";
    KS771
        "a file of an audit cannot be read or written"
        "correct the path, or the rights of the file";
    KS772
        "a log holds no record of Key Vault's diagnostic log"
        "name files of the category AuditEvent as JSON: those of a storage account, of an event \
         hub, or what az monitor log-analytics query printed";
    KS773
        "a record of pods holds no pod"
        "name a file that keysluice audit record wrote";
    KS774
        "a file is not a list of role assignments"
        "write it with az role assignment list --all --output json";
}
