//! `KS1xx`: SecretProviderClass and its objects.

use keysluice_plan::reasons;

reasons! { PROVIDER_CLASS:
    KS101
        "the SecretProviderClass cannot be read"
        "compare it with the API of SecretProviderClass, secrets-store.csi.x-k8s.io/v1";
    KS102
        "a parameter of the SecretProviderClass is not a string"
        "quote the value, or remove the parameter";
    KS103
        "the SecretProviderClass does not name a vault"
        "set the parameter keyvaultName";
    KS104
        "the tenant is not set"
        "set the parameter tenantID, or annotate the ServiceAccount with \
         azure.workload.identity/tenant-id";
    KS105
        "the client id is not set"
        "annotate the ServiceAccount with azure.workload.identity/client-id, or set the parameter \
         clientID";
    KS106
        "the objects document cannot be read"
        "write a map with the key \"array:\", and below it one \"- |\" for each object; indent \
         with spaces";
    KS107
        "filePermission is not an octal number from 0 to 0777"
        "write it as \"0640\"";
    KS108
        "a placeholder is not filled in"
        "replace it with the real value";
    KS109
        "the SecretProviderClass is not for Azure"
        "set spec.provider to azure";
    KS110
        "a flag is neither true nor false"
        "correct the value: \"true\" or \"false\"";
    KS111
        "several identity modes are enabled"
        "keep one of the flags, or remove all of them to use workload identity";
    KS112
        "AAD Pod Identity is not supported"
        "remove usePodIdentity and use workload identity: federate the identity with the \
         ServiceAccount, and annotate the ServiceAccount with azure.workload.identity/client-id";
    KS113
        "the token proxy of AKS identity bindings is not set up"
        "set customTokenEndpoint of the chart (annotationSuffix, audience, \
         azureKubernetesTokenProxy, azureKubernetesSniName and the authority), or remove \
         useAzureTokenProxy to use workload identity; a pipeline has no token proxy";
    KS114
        "the tenant is neither a tenant id nor a domain"
        "write the id that `az account show --query tenantId` prints";
    KS115
        "the tenant is not on the operator's allow-list"
        "use another tenant, or ask the operator of Keysluice to allow this one";
    KS116
        "the cloud does not exist"
        "name a known cloud: AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud or \
         AzureGermanCloud, or leave cloudName out to use the operator's cloud; AzureStackCloud \
         needs a cloud definition from the operator (--cloud FILE)";
    KS117
        "the vault name is not valid"
        "write the name of the vault only, such as shop; in a class, a URL goes into vaultUrl";
    KS118
        "the vault is not on the operator's allow-list"
        "use another vault, or ask the operator of Keysluice to allow this one";
    KS119
        "the refresh interval is not valid"
        "write a duration from 1s to 24h such as 30s, 2m or 1h30m, or a number of seconds";
    KS120
        "the objects document is too large"
        "split the objects over several classes";
    KS121
        "an object of a SecretProviderClass cannot be read"
        "write one \"field: value\" per line, indented with spaces";
    KS122
        "objectType is not a known type"
        "correct objectType: secret, key or cert, in lower case";
    KS123
        "objectFormat is not valid for the object"
        "write pem, or write pfx on an object of type secret";
    KS124
        "objectEncoding is not valid for the object"
        "correct objectEncoding: utf-8, base64 or hex, and only on an object of type secret";
    KS125
        "the path of an object's file is not below the volume"
        "set objectName; an objectAlias is a relative path such as db/password, without \"..\"";
    KS126
        "objectName is missing or is not a valid Key Vault object name"
        "write the name only, as the vault shows it, not its URL";
    KS127
        "objectVersion is not a valid Key Vault version"
        "write the version only, or leave it out to use the latest";
    KS128
        "two objects have the same path in the volume"
        "give one of them another objectAlias";
    KS130
        "objectVersionHistory exceeds 500"
        "write a number up to 500";
    KS131
        "a secretObjects entry is incomplete"
        "complete the entry: secretName, type and data; in each element of data set objectName and \
         key";
    KS132
        "a secretObjects entry refers to a file that is not in the volume"
        "set objectName to the path of the file: the objectAlias, or the objectName of an object \
         that has no alias";
    KS133
        "a Secret of type kubernetes.io/tls has keys other than tls.key, tls.crt and ca.crt"
        "rename the keys: tls.key, tls.crt and ca.crt";
    KS134
        "the SecretProviderClass has no parameters"
        "set spec.parameters, with keyvaultName, tenantId, clientID and objects";
    KS135
        "jsonKey is not valid"
        "write a path such as database.password or hosts[0].name, on an object of type secret \
         without parts";
    KS136
        "parts is not valid"
        "correct the list: cert, chain, key, ca and pfx, each at most once, on an object of type \
         secret or cert";
    KS137
        "fileOwner or fileGroup is not a number"
        "write the numeric uid or gid, as `id` prints it";
    KS138
        "select cannot be read"
        "correct select: namePrefix, tags or both; directory, filePermission, objectFormat, \
         objectEncoding, fileOwner, fileGroup, keyvaultName and vaultUrl are optional";
    KS139
        "vaultUrl is not the URL of a vault in the chosen cloud"
        "write https://NAME.SUFFIX/ with the suffix of the cloud (vault.azure.net in the public \
         cloud), or use keyvaultName; another domain needs a cloud definition from the operator \
         (--cloud FILE)";
    KS140
        "the volume will be empty"
        "list objects below \"array:\" in the parameter objects, or select secrets with the \
         parameter select";
    KS141
        "a name is unknown and is probably misspelt"
        "correct the spelling";
    KS142
        "a parameter has no effect"
        "remove it";
    KS143
        "the certificate or key file of an object may have the path of another file"
        "give one of them another objectAlias, or set writeCertAndKeyInSeparateFiles: \"false\" in \
         the class";
    KS144
        "a selection matches every secret of the vault"
        "set namePrefix or tags, unless every secret is intended";
    KS145
        "a file name contains an invisible character"
        "type objectAlias by hand instead of copying it";
    KS146
        "the path of a selected secret may be taken by a directory of the class"
        "give the selection a directory of its own";
    KS147
        "the SecretProviderClass is too large"
        "split it into several classes, each with fewer objects and secretObjects";
    KS148
        "a Secret of secretObjects has a name, key, label or annotation that it cannot have"
        "correct it; secretName has lower-case letters, digits, - and ., and is in the class once; \
         each key is there once, with letters, digits, -, _ and .; labels and annotations are as \
         Kubernetes takes them, and none is below keysluice.dev/";
    KS149
        "a Secret of secretObjects has a type that stands for credentials of the cluster"
        "use the type Opaque; a projected volume gives a pod a token of its ServiceAccount";
    KS150
        "a client id or tenant in the SecretProviderClass has an unexpected format"
        "write the client id of the identity (not its object id or name), and the id or domain of \
         the tenant";
    KS151
        "a Secret of secretObjects lacks a key that its type requires"
        "add an element to data with that key, or use the type Opaque";
    KS152
        "an inline annotation does not name a vault object"
        "write kv://VAULT/secrets/NAME, with keys or certificates instead of secrets for other \
         objects and /VERSION after the name for a version; with keysluice.dev/vault also \
         secrets/NAME";
    KS153
        "an inline annotation does not name a vault"
        "write kv://VAULT/secrets/NAME, or set keysluice.dev/vault on the pod";
    KS154
        "the query of an inline annotation has an unknown parameter"
        "use the parameters of the message; docs/inline.md explains them";
    KS155
        "a value in the query of an inline annotation is not valid"
        "correct the value; docs/inline.md explains the parameters";
    KS156
        "parameters in the query of an inline annotation do not go together"
        "remove one of them; docs/inline.md explains the parameters";
    KS157
        "an annotation for a variable has a name that a variable of the pod cannot have"
        "rename the variable: letters, digits and _, without a digit at the beginning; names that \
         begin with KEYSLUICE_ and the AZURE_ names of the identity are set by the webhook";
    KS158
        "an annotation for a file or variable has a name or path that it cannot have"
        "correct the name; each file has a path of its own, relative and without ..: the name \
         after file., or ?path=; behind keysluice.dev/, a key has at most 63 characters";
    KS160
        "templates cannot be read"
        "write a list of maps with path and template; filePermission, fileOwner and fileGroup are \
         optional";
    KS161
        "a template has an error"
        "correct it: {{ files[\"PATH\"] | FILTER }}, {% if %}, {% for path, value in files.items() \
         %}; see templates.md";
    KS162
        "a template names a file that the class does not have"
        "write the path of a file of this class: the objectAlias, or the objectName of an object \
         without one";
    KS163
        "the service principal's Secret cannot exist"
        "correct nodePublishSecretRef.name of the volume: it names a Secret in the pod's namespace";
    KS164
        "usePodIdentity is read as workload identity"
        "remove usePodIdentity from the class when no pod with AAD Pod Identity uses it any more";
}
