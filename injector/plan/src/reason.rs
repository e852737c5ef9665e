//! Reason codes with cause and fix: they stand in messages, events and termination messages.

mod managed_identity;
mod outputs;
mod variables;

pub use managed_identity::*;
pub use outputs::*;
pub use variables::*;

use std::fmt;

/// One code with its explanation. Codes are stable: a published one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// `KS401`.
    pub code: &'static str,
    /// What happened, one line.
    pub cause: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// Declares constants named as their code and the table of all of them.
#[macro_export]
macro_rules! reasons {
    ($table:ident: $($code:ident $cause:literal $fix:literal;)*) => {
        $(
            #[doc = $cause]
            pub const $code: $crate::reason::Reason =
                $crate::reason::Reason { code: stringify!($code), cause: $cause, fix: $fix };
        )*
        /// The table, in order of code.
        pub const $table: &[$crate::reason::Reason] = &[$($code),*];
    };
}

// KS3xx identity · KS4xx vault · KS5xx volume · KS60x Plan and command line of the sidecar.
reasons! { INJECTOR:
    KS301
        "the projected ServiceAccount token cannot be read"
        "in a pod: set the label azure.workload.identity/use: \"true\" when the pod is created, \
         and mount the token volume in the sidecar; in a pipeline: write the token to the path \
         that the Plan names (tokenFile)";
    KS302
        "the token file does not hold a JSON web token"
        "in a pod the kubelet writes the file: look for another container or volume that writes \
         the same path; in a pipeline write the token alone, without JSON around it";
    KS303
        "no federated identity credential matches the token"
        "create a federated identity credential with exactly this issuer, subject and audience (az \
         identity federated-credential create); a new one takes up to a few minutes to work";
    KS304
        "the federated identity credential can never match the token"
        "compare audience and subject, including upper and lower case; the audience is \
         api://AzureADTokenExchange unless the operator configured another one";
    KS305
        "the token is expired or not valid yet"
        "check the clocks of the machine and the token's issuer; in a pod the kubelet renews the \
         token at 80 % of its lifetime, in a pipeline request a new one";
    KS306
        "the application or identity is unknown or disabled in the tenant"
        "check the client id and the tenant id (annotations azure.workload.identity/client-id and \
         tenant-id; clientID and tenantId of the class; clientid of a service principal's Secret)";
    KS307
        "the tenant does not exist in this cloud"
        "check the tenant id, and check that the authority belongs to the tenant's cloud";
    KS308
        "a policy of the tenant blocks the sign-in"
        "ask the tenant's administrator about conditional access and restrictions on workload \
         identity federation";
    KS309
        "Entra refuses the resource or scope"
        "use a scope of one resource with /.default that exists in this cloud, such as \
         https://vault.azure.net/.default";
    KS310
        "Entra throttles token requests"
        "a running sidecar asks again by itself; a job needs a longer --wait; many pods that start \
         at once share one limit";
    KS311
        "Entra failed temporarily"
        "a running sidecar asks again by itself; a job needs a longer --wait; if it persists, open \
         a support ticket with the AADSTS code";
    KS312
        "Entra cannot be reached"
        "check egress to the authority (network policy, firewall, HTTPS_PROXY), and check DNS";
    KS313
        "Entra refuses the token request"
        "look up the AADSTS code on https://login.microsoftonline.com/error";
    KS314
        "the response to the token request is not valid"
        "check proxies and the authority URL: another server may answer instead of Entra";
    KS315
        "the authority is not an https URL"
        "write a URL such as https://login.microsoftonline.com/, without a user name";
    KS316
        "Entra cannot fetch the keys of the token's issuer"
        "a short failure needs no action; if it persists, make /.well-known/openid-configuration \
         and the keys of the issuer in the message reachable from the internet, without a firewall \
         or login";
    KS317
        "the token was issued by Entra, and Entra does not accept such a token for a federated \
         identity"
        "use a token of the cluster's issuer, and create the federated credential for that issuer: \
         `az aks show --query oidcIssuerProfile.issuerUrl` prints it";
    KS318
        "the application has no service principal in the tenant"
        "create the service principal (az ad sp create --id CLIENT_ID), or check the tenant id";
    KS319
        "another server answers instead of the managed-identity endpoint"
        "check what answers at 169.254.169.254: a proxy, a mesh, or another product that \
         intercepts the address";
    KS320
        "Entra cannot verify the token's signature"
        "check that the keys that the issuer publishes include the key that signed the token; \
         Entra reads a new key after some minutes";
    KS321
        "the managed-identity endpoint refuses the identity"
        "assign the identity to the node's scale set, and check the client id \
         (userAssignedIdentityID); without a client id the node needs a system-assigned identity";
    KS322
        "the managed-identity endpoint does not answer yet"
        "no action is needed for a short time; if it persists, check that the pod can reach \
         169.254.169.254";
    KS401
        "the vault does not accept the token"
        "check the tenant of the vault and the scope of the identity";
    KS402
        "the identity does not have a role on the object"
        "assign the role Key Vault Secrets User (keys and certificates: Key Vault Certificate \
         User) on the vault; a new assignment takes a few minutes to work";
    KS403
        "the vault's access policies do not let the identity read the object"
        "add an access policy with the permission Get for secrets, keys or certificates";
    KS404
        "the object does not exist in the vault"
        "check the name, type and version; a deleted object can be recovered (az keyvault secret \
         recover)";
    KS405
        "the vault's firewall blocks the network of the caller"
        "allow the egress address or subnet of the cluster or pipeline, or use a private endpoint";
    KS406
        "the object's version is disabled"
        "enable the version, or create a new one";
    KS407
        "the vault throttles requests"
        "a running sidecar asks again by itself; a job needs a longer --wait; a longer refresh \
         interval or fewer pods per vault reduce requests";
    KS408
        "the vault failed temporarily"
        "a running sidecar asks again by itself; a job needs a longer --wait";
    KS409
        "the vault's name does not resolve"
        "check the name and cloud of the vault, that the vault is not deleted, and DNS (private \
         DNS zone)";
    KS410
        "the TLS connection failed"
        "if a proxy inspects TLS, or the endpoint has a private certificate, give the authority to \
         the sidecars: injector.caBundle of the chart; in a pipeline SSL_CERT_FILE";
    KS411
        "the vault cannot be reached"
        "check egress to the vault (network policy, firewall, HTTPS_PROXY)";
    KS412
        "the vault did not answer in time"
        "check egress to the vault: a firewall that drops packets has this effect";
    KS413
        "the vault's response is incomplete or not valid"
        "check proxies, firewalls, meshes and the vault's URL: something \
         between the sidecar and the vault may cut its responses or answer instead of it";
    KS414
        "the vault and the token belong to different domains"
        "check the vault's URL, which may not be a Key Vault, and the identity's scope; if the \
         message says that the token was sent there, treat the token as disclosed";
    KS415
        "the vault refuses the request"
        "check the object's name and version";
    KS416
        "the identity may not list the vault's objects"
        "assign the role Key Vault Secrets User (keys and certificates: Key Vault Certificate \
         User) on the whole vault: a role on a single object does not allow listing; with access \
         policies add the permission List";
    KS417
        "the proxy cannot be reached, or breaks the connection"
        "check the proxy's address (keysluice.dev/https-proxy, or injector.httpsProxy of the \
         chart) and egress to it; hosts that need no proxy belong in keysluice.dev/no-proxy";
    KS418
        "the proxy refuses to connect"
        "let the proxy connect to the host in the message, port 443; 407 asks for a user and \
         password in the proxy's URL";
    KS419
        "the object is expired, and the vault serves it"
        "create a new version, or correct the date (az keyvault secret set-attributes --expires)";
    KS420
        "the object is not active yet, and the vault serves it"
        "wait for the date, or correct it (az keyvault secret set-attributes --not-before)";
    KS421
        "this kind of key cannot be written"
        "use RSA keys, or EC keys on P-256, P-384 or P-521";
    KS422
        "the secret's value does not have the encoding in objectEncoding"
        "correct the value, or remove objectEncoding";
    KS423
        "this kind of object is not supported by this version"
        "use a newer sidecar image";
    KS424
        "the vault's response has no usable value"
        "create a new version of the object";
    KS425
        "the secret does not contain the requested part"
        "parts come from the secret of a certificate, or from a secret that holds PEM or PKCS#12; \
         an issuer's certificate must have been imported with the certificate";
    KS426
        "the certificate or its private key cannot be used"
        "import the certificate with its private key into the vault, as PEM or as PKCS#12 without \
         a password; the vault stores the file as it was imported";
    KS427
        "the secret does not have this JSON field"
        "compare jsonKey with the secret: database.password, hosts[0].name; a dot or bracket in a \
         name needs a backslash before it";
    KS428
        "the vault's list links to another host, does not end, or exceeds the limits of Key Vault"
        "check proxies and the vault's URL: another server may answer instead of the vault";
    KS429
        "a selected secret, or a file of a split secret, has the path of another file"
        "use a different directory for each selection, or narrow the prefix or tags; a split \
         secret also makes PATH.crt and PATH.key";
    KS430
        "a selection matches too many secrets"
        "narrow the prefix or tags; the files must fit into the memory of the pod";
    KS431
        "a certificate was renewed while its parts were fetched"
        "no action is needed: the files of the certificate are replaced together, after all parts \
         have the same version";
    KS432
        "the secret exceeds the limit of keys or certificates"
        "a secret may hold 16 private keys and 100 certificates; store authorities in a secret of \
         their own and read that secret without parts";
    KS433
        "the files do not fit into the sidecar's memory"
        "fetch fewer or smaller objects, or shorter histories; in a pod, a larger sizeLimit of the \
         volume (keysluice.dev/size-limit) also gives the sidecar more memory";
    KS434
        "the Secret with the service principal's credentials cannot be read"
        "create the Secret that nodePublishSecretRef names with the keys clientid and clientsecret \
         (or clientcertificate, a certificate with its key); the sidecar reads it again by itself";
    KS435
        "the service principal's certificate cannot sign"
        "put an RSA certificate with its private key into the Secret, as PEM or PKCS#12, and its \
         password, if it has one, into clientcertificatepassword; the message names the key";
    KS436
        "Entra does not know the client secret"
        "put the secret's value (not its id) into clientsecret of the Secret, and check that it is \
         one of the client id (az ad app credential list --id CLIENT_ID)";
    KS437
        "the client secret is expired"
        "make a new one (az ad app credential reset --id CLIENT_ID --append) and put it into the \
         Secret; the sidecar reads it without a restart";
    KS438
        "Entra does not accept the service principal's certificate"
        "register this certificate on the application (az ad app credential reset --id CLIENT_ID \
         --cert @FILE --append), and check that it is not expired";
    KS439
        "the node has several managed identities, and the request names none"
        "set userAssignedIdentityID of the class to the client id of one of them";
    KS440
        "the pod cannot reach the managed-identity endpoint"
        "let the pod connect to 169.254.169.254, port 80: check network policies, a mesh, and the \
         node's restriction (AKS: --enable-imds-restriction); workload identity does not use it";
    KS441
        "the token proxy of AKS identity bindings cannot be reached"
        "let the pod connect to the token proxy (customTokenEndpoint.azureKubernetesTokenProxy of \
         the chart), and compare its TLS server name and authority with the values of the chart";
    KS442
        "the authorities of the token proxy cannot be read"
        "give PEM of the authority that signs the token proxy's certificate: \
         customTokenEndpoint.azureKubernetesCA… of the chart";
    KS443
        "the token proxy refuses the identity"
        "bind the identity to the cluster (az aks identity-binding create), and let the \
         ServiceAccount use it: verb use-managed-identity, API group cid.wi.aks.azure.com, \
         resource: the client id";
    KS501
        "the volume is full"
        "in a pod: raise the volume's sizeLimit (keysluice.dev/size-limit), which holds two \
         generations of all files; in a pipeline: free space in the target directory";
    KS502
        "the volume's directory is missing"
        "mount the volume in the sidecar at the directory that the Plan names";
    KS503
        "the volume cannot be written"
        "in a pod: use an emptyDir that is mounted writable and belongs to the sidecar's user or \
         group; in a pipeline: make the target directory writable";
    KS504
        "a file that the sidecar did not create has the path of an object"
        "remove the file, or choose another path for the object";
    KS505
        "the group of a file cannot be set"
        "use a group of the process: in a pod runAsGroup, fsGroup or supplementalGroups";
    KS506
        "something in the volume does not belong to the sidecar, or cannot be removed"
        "mount the volume read-only in the other containers, and remove the file that the message \
         names";
    KS601
        "the Plan cannot be read or understood"
        "use webhook and sidecar images of one release; compare a Plan of your own with the output \
         of `keysluice plan`";
    KS602
        "the Plan is missing, or is given twice"
        "give either --plan FILE or the environment variable KEYSLUICE_PLAN";
    KS603
        "the first generation was not complete in time"
        "check egress to what the message names; startTimeoutSeconds of the Plan limits the wait";
    KS604
        "the sidecar does not answer"
        "check that the container keysluice runs, and that this command has the same Plan and \
         --root";
    KS605
        "the run directory cannot be used"
        "use a writable directory that belongs to the sidecar, one for each sidecar";
    KS606
        "a certificate authority cannot be read"
        "trustedCa and SSL_CERT_FILE must hold PEM blocks of type CERTIFICATE";
    KS607
        "the URL of the proxy is not valid"
        "write HTTPS_PROXY as a URL such as http://proxy.example:3128";
    KS608
        "the process cannot be set up, or a signal ended it"
        "see the message: a signal comes from outside, such as the time limit of a job";
}

#[cfg(test)]
mod tests {
    use super::{INJECTOR, OUTPUTS, VARIABLES};

    #[test]
    fn codes_are_in_order_and_explained() {
        let all: Vec<_> = INJECTOR.iter().chain(OUTPUTS).chain(VARIABLES).collect();
        assert!(all.is_sorted_by(|a, b| a.code < b.code));
        for reason in all {
            assert!(!reason.cause.is_empty() && !reason.fix.is_empty(), "{reason}");
            assert!(!reason.cause.ends_with('.') && !reason.fix.ends_with('.'), "{reason}");
        }
    }
}
