//! Reason codes: what a user meets in a message, an event or a termination message, with cause and
//! fix.

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

// KS3xx identity · KS4xx vault · KS5xx volume · KS6xx plan and command line of the sidecar.
reasons! { INJECTOR:
    KS301
        "the projected ServiceAccount token cannot be read"
        "the pod needs the label azure.workload.identity/use: \"true\" when it is created; check \
         that the token volume is mounted in the sidecar";
    KS302
        "the token file holds no JSON web token"
        "the kubelet writes it; look for another container or volume that writes the same path";
    KS303
        "no federated identity credential matches the token"
        "create one with exactly this issuer, subject and audience (az identity \
         federated-credential create); a new one takes up to a few minutes to work";
    KS304
        "the federated identity credential can never match the token"
        "compare audience and subject letter by letter (upper and lower case count); the audience \
         is api://AzureADTokenExchange unless the cluster says otherwise";
    KS305
        "the token is outside its validity"
        "check the clocks of node and API server; the kubelet renews the token at 80 % of its \
         lifetime";
    KS306
        "the application or identity is unknown or disabled in the tenant"
        "check the client id and the tenant id (annotations azure.workload.identity/client-id and \
         tenant-id, or clientID and tenantId of the class)";
    KS307
        "the tenant does not exist in this cloud"
        "check the tenant id, and that the authority belongs to the tenant's cloud";
    KS308
        "a policy of the tenant refuses the sign-in"
        "ask the tenant's administrator about conditional access and restrictions on workload \
         identity federation";
    KS309
        "Entra refuses the resource or scope"
        "the scope must be one resource with /.default that exists in this cloud, like \
         https://vault.azure.net/.default";
    KS310
        "Entra throttles token requests"
        "nothing to do for a short time; many pods that start at once share one limit";
    KS311
        "Entra failed for a moment"
        "nothing to do; it is asked again; if it stays, open a support ticket with the AADSTS \
         code";
    KS312
        "Entra cannot be reached"
        "check egress to the authority (network policy, firewall, HTTPS_PROXY) and DNS";
    KS313
        "Entra refused the token request"
        "look up the AADSTS code on https://login.microsoftonline.com/error";
    KS314
        "the answer to a token request cannot be understood"
        "something between the pod and Entra may answer in its place: check proxies and the \
         authority URL";
    KS315
        "the authority is not an https URL"
        "write it like https://login.microsoftonline.com/";
    KS316
        "Entra cannot fetch the keys of the cluster's issuer"
        "a short failure passes by itself; otherwise the issuer that the message names must serve \
         /.well-known/openid-configuration and its keys to the internet, without a firewall or \
         login before them";
    KS317
        "the token was issued by Entra itself, and Entra does not accept such a token for a \
         federated identity"
        "the issuer of the projected token, and of the federated credential, must be the \
         cluster's: compare with `az aks show --query oidcIssuerProfile.issuerUrl`";
    KS318
        "the application has no service principal in the tenant"
        "create it (az ad sp create --id CLIENT_ID), or check the tenant id";
    KS319
        "something answers in the place of the managed-identity endpoint"
        "check what the pod reaches at 169.254.169.254: a proxy, a mesh, or another product that \
         intercepts it";
    KS320
        "Entra cannot verify the token's signature"
        "the keys that the issuer publishes must hold the cluster's signing key; a new key is \
         taken over after some minutes";
    KS321
        "the managed-identity endpoint refuses the identity"
        "assign the identity to the node's scale set, and check the client id";
    KS322
        "the managed-identity endpoint does not answer yet"
        "nothing to do for a short time; otherwise check that the pod may reach 169.254.169.254";
    KS401
        "the vault does not accept the token"
        "check the tenant of the vault and the scope of the identity";
    KS402
        "the identity has no role on the object"
        "assign the role Key Vault Secrets User (keys: Key Vault Crypto User, certificates: Key \
         Vault Certificate User) on the vault; a new assignment takes a few minutes to work";
    KS403
        "no access policy of the vault lets the identity read the object"
        "add an access policy with Get for secrets, keys or certificates";
    KS404
        "the object does not exist in the vault"
        "check the name, type and version; a deleted object can be recovered (az keyvault secret \
         recover)";
    KS405
        "the vault's firewall refuses the pod's network"
        "allow the cluster's egress address or subnet, or use a private endpoint";
    KS406
        "the object's version is disabled"
        "enable it, or make a new version";
    KS407
        "the vault throttles"
        "nothing to do for a short time; a longer refresh interval or fewer pods per vault help";
    KS408
        "the vault failed for a moment"
        "nothing to do; it is asked again";
    KS409
        "the vault's name does not resolve"
        "check the vault's name and cloud, that it is not deleted, and the cluster's DNS (private \
         DNS zone)";
    KS410
        "the TLS connection was refused"
        "a proxy that inspects TLS needs its CA in SSL_CERT_FILE or in the Plan's trustedCa";
    KS411
        "the vault cannot be reached"
        "check egress to the vault (network policy, firewall, HTTPS_PROXY)";
    KS412
        "the vault did not answer in time"
        "check egress to the vault; a firewall that drops packets looks like this";
    KS413
        "the vault's answer broke off or cannot be understood"
        "it is asked again; something between the pod and the vault may cut its answers or answer \
         in its place: check proxies, firewalls, meshes and the vault's URL";
    KS414
        "the vault and the token belong to different domains"
        "check the vault's URL, it may not be a Key Vault, and the identity's scope; if the \
         message says that the token went there, treat it as disclosed";
    KS415
        "the vault refuses the request"
        "check the object's name and version";
    KS416
        "the identity may not list"
        "a role on the whole vault is needed, Key Vault Secrets User (keys: Key Vault Crypto User, \
         certificates: Key Vault Certificate User), one on a single object cannot list; with \
         access policies the permission List";
    KS421
        "this kind of key cannot be written"
        "RSA and EC keys on P-256, P-384 and P-521 have a public half that can";
    KS422
        "the secret's value is not in the encoding that objectEncoding names"
        "correct the value, or remove objectEncoding";
    KS423
        "this kind of object is not supported by this version"
        "use a newer sidecar image";
    KS424
        "the vault's answer has no usable value"
        "make a new version of the object";
    KS425
        "the secret does not hold the part that is asked for"
        "parts are in the secret behind a certificate, or in a secret that holds PEM or PKCS#12; \
         an issuer's certificate must have been imported with it";
    KS426
        "the certificate or its private key cannot be used"
        "import it into the vault whole, with the certificate of its private key, as PEM or as \
         PKCS#12 without a password; the vault keeps the file as it was given";
    KS427
        "the secret has no such JSON field"
        "compare jsonKey with the secret: database.password, hosts[0].name; a backslash before a \
         dot or bracket of a name";
    KS428
        "the vault's list leads to another host, has no end, or is larger than Key Vault's"
        "something between the pod and the vault may answer in its place: check proxies and the \
         vault's URL";
    KS429
        "a secret that is selected, or a half of one that is split, has the path of another file"
        "give the selections different directories, or narrow their prefix or tags; a split secret \
         also makes PATH.crt and PATH.key";
    KS430
        "a selection is too large"
        "narrow its prefix or tags; what a pod can hold in memory is small";
    KS431
        "a certificate was renewed while its parts were fetched"
        "nothing to do; its files are replaced together once they are of one version";
    KS432
        "the secret holds more keys or certificates than are read"
        "a secret may hold 16 private keys and 100 certificates; keep authorities in a secret of \
         their own and read it without parts";
    KS433
        "the files do not fit into the sidecar's memory"
        "fetch fewer or smaller objects, or shorter histories; a larger sizeLimit of the volume \
         (keysluice.dev/size-limit) also gives the sidecar more memory";
    KS501
        "the volume is full"
        "raise the volume's sizeLimit (keysluice.dev/size-limit on the pod): it holds two \
         generations of all files";
    KS502
        "the volume's directory is missing"
        "mount the volume in the sidecar at the directory the Plan names";
    KS503
        "the volume cannot be written"
        "the volume must be a writable emptyDir that belongs to the sidecar's user or group";
    KS504
        "a file of somebody else stands in the way"
        "remove it, or choose another path for the object";
    KS505
        "a file cannot be given to its group"
        "the group must be one of the sidecar's: runAsGroup, fsGroup or supplementalGroups of the \
         pod";
    KS506
        "something in the volume is not the sidecar's, or cannot be removed"
        "a container has the volume mounted writable and put it there: mount it read-only, and \
         remove what is named";
    KS601
        "the Plan cannot be read or understood"
        "use webhook and sidecar images of one release; for a Plan of your own compare it with \
         `keysluice plan`";
    KS602
        "there is no Plan, or there are two"
        "give either --plan FILE or the Plan in KEYSLUICE_PLAN";
    KS603
        "the first generation was not complete in time"
        "see the reason that follows; startTimeoutSeconds bounds the wait";
    KS604
        "the sidecar does not answer"
        "check that the container keysluice is running and has the same Plan and --root";
    KS605
        "the run directory cannot be used"
        "it must be a writable directory of the sidecar's own, one per sidecar";
    KS606
        "a certificate authority cannot be read"
        "trustedCa and SSL_CERT_FILE hold PEM blocks CERTIFICATE";
    KS607
        "the proxy's URL is not valid"
        "write HTTPS_PROXY like http://proxy.example:3128";
    KS608
        "the process cannot be set up"
        "see the system's message";
}

#[cfg(test)]
mod tests {
    use super::INJECTOR;

    #[test]
    fn codes_are_in_order_and_explained() {
        assert!(INJECTOR.windows(2).all(|pair| pair[0].code < pair[1].code));
        for reason in INJECTOR {
            assert!(!reason.cause.is_empty() && !reason.fix.is_empty(), "{reason}");
            assert!(!reason.cause.ends_with('.') && !reason.fix.ends_with('.'), "{reason}");
        }
    }
}
