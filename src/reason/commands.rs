//! `KS755` to `KS799`: the commands that look at keys, at the Azure side and at other injectors.

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
}
