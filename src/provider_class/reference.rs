//! Every parameter and field there is: what is read is looked up here, and `docs/parameters.md` is
//! generated from it.

/// Who reads a parameter or field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The Azure provider and Keysluice.
    Both,
    /// Keysluice alone; the Azure provider ignores it, so one manifest serves both.
    Keysluice,
    /// No program any more: found in old manifests and in guides.
    Nobody,
}

/// One parameter or field. Names are case-sensitive.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub reader: Reader,
    /// What it takes.
    pub takes: &'static str,
    /// What holds where it is missing or empty.
    pub default: &'static str,
    /// What it does.
    pub effect: &'static str,
}

const fn both(
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    effect: &'static str,
) -> Entry {
    Entry { name, reader: Reader::Both, takes, default, effect }
}

const fn ours(
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    effect: &'static str,
) -> Entry {
    Entry { name, reader: Reader::Keysluice, takes, default, effect }
}

const fn unread(name: &'static str) -> Entry {
    Entry {
        name,
        reader: Reader::Nobody,
        takes: "anything",
        default: "",
        effect: "accepted, no effect",
    }
}

const BOOL: &str = "`1 t T TRUE true True 0 f F FALSE false False`";
const VAULT_NAME: &str = "3 to 24 letters, digits and hyphens";
const VAULT_URL: &str = "`https://NAME.SUFFIX/` with the suffix of the chosen cloud";
const MODE: &str = "octal, up to `0777`";
const ID: &str = "a number";

/// `spec.parameters`, and the `volumeAttributes` that lie over them.
pub const PARAMETERS: &[Entry] = &[
    both("keyvaultName", VAULT_NAME, "required, unless `vaultUrl` is set", "the vault"),
    ours(
        "vaultUrl",
        VAULT_URL,
        "",
        "the vault by its URL; if `keyvaultName` is set too, both must name the same vault",
    ),
    both("tenantID", "an id or a domain", "`tenantId`", "the tenant"),
    both(
        "tenantId",
        "an id or a domain",
        "the ServiceAccount's `azure.workload.identity/tenant-id`, then the webhook's \
         `--tenant-id`",
        "the tenant; older name of `tenantID`",
    ),
    both(
        "clientID",
        "a client id",
        "the ServiceAccount's `azure.workload.identity/client-id`",
        "the identity that reads the vault; it is federated with the ServiceAccount",
    ),
    both(
        "objects",
        "a YAML document: the key `array` with a list of strings",
        "none: an empty volume",
        "the files",
    ),
    ours(
        "select",
        "a YAML document: a map of the fields below, or a list of at most 16 such maps",
        "",
        "additional files: all enabled secrets of the vault with a name prefix or tags",
    ),
    ours(
        "templates",
        "a YAML document: a map of the fields below, or a list of at most 16 such maps",
        "",
        "additional files, each made of other files of the class: [templates.md](templates.md)",
    ),
    both(
        "useVMManagedIdentity",
        BOOL,
        "`false`",
        "reads the vault as the node's managed identity instead",
    ),
    both(
        "userAssignedIdentityID",
        "a client id",
        "the system-assigned identity",
        "selects one of the node's identities",
    ),
    both(
        "usePodIdentity",
        BOOL,
        "`false`",
        "AAD Pod Identity is retired: read as workload identity if the ServiceAccount has a client \
         id (KS164), else refused (KS112)",
    ),
    both(
        "useAzureTokenProxy",
        BOOL,
        "`false`",
        "tokens come from the token proxy of AKS identity bindings; refused (KS113) if the \
         operator has not set it up: [identities.md](identities.md#aks-identity-bindings)",
    ),
    both(
        "cloudName",
        "`AzurePublicCloud`, `AzureUSGovernmentCloud`, `AzureChinaCloud`, `AzureGermanCloud`, or \
         the name of the operator's cloud, in any case",
        "the operator's cloud",
        "the vault's domain and the authority",
    ),
    both(
        "cloudEnvFileName",
        "anything",
        "",
        "no effect, with a warning (KS142): the operator defines clouds",
    ),
    ours(
        "writeCertAndKeyInSeparateFiles",
        BOOL,
        "the webhook's `--write-cert-and-key-in-separate-files`",
        "secrets that back a certificate also make `PATH.crt` (certificates) and `PATH.key` \
         (key); in the provider this is a flag for all classes",
    ),
    ours(
        "refreshInterval",
        "`30s`, `2m`, `1h30m`, or seconds; 1 s to 24 h",
        "the webhook's `--refresh-interval`",
        "how often the sidecar asks the vault; the pod's `keysluice.dev/refresh-interval` \
         overrides it",
    ),
    ours(
        "syncInterval",
        "like `refreshInterval`",
        "",
        "another name of `refreshInterval`, which takes precedence",
    ),
    ours(
        "mode",
        "`sidecar` or `init`",
        "`sidecar`",
        "`init` fetches the secrets once, in an init container that ends; the pod's \
         `keysluice.dev/mode` overrides it",
    ),
    unread("resourceGroup"),
    unread("subscriptionId"),
    unread("useEmulator"),
];

/// The fields of an element of `objects`.
pub const OBJECT_FIELDS: &[Entry] = &[
    both(
        "objectName",
        "1 to 127 letters, digits and hyphens",
        "required",
        "name of the object in the vault",
    ),
    both("objectType", "`secret`, `key`, `cert`, in lower case", "required", "kind of the object"),
    both(
        "objectAlias",
        "a relative path without `..`, of at most 32 components",
        "the name",
        "path of the file, which may contain directories",
    ),
    both("objectVersion", "a version", "the newest", "pins a version; `latest` is the newest"),
    both(
        "objectVersionHistory",
        "a number without quotes, up to 500",
        "`0`: one version",
        "above 1: that many versions as the files `PATH/0` (the newest, or `objectVersion`), \
         `PATH/1`, …",
    ),
    both(
        "objectFormat",
        "`pem`, `pfx`, in any case; `pfx` for `secret` only",
        "`pem`",
        "how a secret that backs a PKCS#12 certificate is written: key and chain as PEM, or the \
         base64 text of the PFX",
    ),
    both(
        "objectEncoding",
        "`utf-8`, `base64`, `hex`, in any case; for `secret` only",
        "`utf-8`",
        "how the value is decoded before it is written; `base64` with `pfx` makes the binary PFX",
    ),
    both("filePermission", MODE, "`0644`", "mode of the file"),
    ours(
        "optional",
        BOOL,
        "`false`",
        "leaves the file out while the vault does not have the object, instead of waiting for it",
    ),
    ours(
        "jsonKey",
        "`database.password`, `hosts[0].name`; a `\\` before a `.`, `[`, `]` or `\\` of a name",
        "",
        "writes this field of a secret that is a JSON document; for `secret` only",
    ),
    ours(
        "parts",
        "one or more of `cert`, `chain`, `key`, `ca`, `pfx`, as a list or separated by commas; for \
         `secret` and `cert`",
        "",
        "writes these parts of a certificate: one at the path itself, several as `PATH.crt`, \
         `PATH.chain.crt`, `PATH.key`, `PATH.ca.crt`, `PATH.pfx`",
    ),
    ours(
        "fileOwner",
        ID,
        "the sidecar's uid",
        "uid of the file; must be a uid as which the sidecar can run",
    ),
    ours(
        "fileGroup",
        ID,
        "the pod's `fsGroup`, else the sidecar's gid",
        "gid of the file; must be a group of the sidecar",
    ),
    ours("keyvaultName", VAULT_NAME, "the class's", "another vault for this object"),
    ours("vaultUrl", VAULT_URL, "the class's", "another vault for this object, by its URL"),
];

/// The fields of `select`. All are ours.
pub const SELECT_FIELDS: &[Entry] = &[
    ours(
        "namePrefix",
        "letters, digits and hyphens",
        "any name",
        "prefix of the names, in any case",
    ),
    ours(
        "tags",
        "a map of strings",
        "any tags",
        "tags that a secret must have, with exactly these values",
    ),
    ours(
        "directory",
        "a relative path without `..`",
        "the volume itself",
        "directory of the files, each named like its secret",
    ),
    ours("filePermission", MODE, "`0644`", "mode of the files"),
    ours("objectFormat", "`pem`, `pfx`, in any case", "`pem`", "as for an object"),
    ours("objectEncoding", "`utf-8`, `base64`, `hex`, in any case", "`utf-8`", "as for an object"),
    ours("fileOwner", ID, "the sidecar's uid", "as for an object"),
    ours("fileGroup", ID, "the pod's `fsGroup`, else the sidecar's gid", "as for an object"),
    ours("keyvaultName", VAULT_NAME, "the class's", "another vault"),
    ours("vaultUrl", VAULT_URL, "the class's", "another vault, by its URL"),
];

/// The fields of `templates`. All are ours.
pub const TEMPLATE_FIELDS: &[Entry] = &[
    ours("path", "a relative path without `..`", "required", "the file"),
    ours(
        "template",
        "text with `{{ files[\"PATH\"] }}`, at most 32 KiB",
        "required",
        "what the file holds",
    ),
    ours("filePermission", MODE, "`0644`", "mode of the file"),
    ours("fileOwner", ID, "the sidecar's uid", "as for an object"),
    ours("fileGroup", ID, "the pod's `fsGroup`, else the sidecar's gid", "as for an object"),
];

/// The entry of this name.
pub(super) fn find(table: &'static [Entry], name: &str) -> Option<&'static Entry> {
    table.iter().find(|entry| entry.name == name)
}

/// Names that are found in manifests and that no slip of the pen explains.
const SYNONYMS: &[(&str, &str)] = &[
    ("alias", "objectAlias"),
    ("fileName", "objectAlias"),
    ("name", "objectName"),
    ("secretName", "objectName"),
    ("type", "objectType"),
    ("version", "objectVersion"),
    ("format", "objectFormat"),
    ("encoding", "objectEncoding"),
    ("permission", "filePermission"),
    ("vaultName", "keyvaultName"),
    ("keyVault", "keyvaultName"),
    ("managedIdentityClientId", "userAssignedIdentityID"),
];

/// The entry that `name` was probably meant to be.
pub(super) fn nearest(table: &'static [Entry], name: &str) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    if let Some(entry) = synonym.and_then(|(_, meant)| find(table, meant)) {
        return Some(entry.name);
    }
    let names: Vec<&'static str> = table.iter().map(|entry| entry.name).collect();
    crate::spelling::nearest(name, &names, 2)
}
