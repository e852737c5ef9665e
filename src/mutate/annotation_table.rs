//! Every annotation below `keysluice.dev/`: what it takes, what it does, what it sets.

use super::annotation_values::{
    Gate, OnMissing, by_container, cpu_limit, cpu_request, csi_volumes, gate, interval, on_missing,
    secrets, size, store, variables,
};
use super::inline_annotations::{self, ENV_FROM, InlineAnnotations};
use super::managed_identity_values::{self, EndpointChoice, MappedIdentity};
use super::names::{METRICS_PORT, REACTION_RIGHT_ANNOTATION, SYNCED_ANNOTATION};
use super::on_change::{self, OnChange};
use crate::provider_class::Mode;
use crate::settings::{self, CsiVolumes, TokenLayout};
use keysluice_plan::ROLLOUT_ANNOTATION;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a pod says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// `keysluice.dev/client-ids`: client id by container.
    pub client_ids: BTreeMap<String, String>,
    /// `keysluice.dev/tenant-ids`: tenant id by container.
    pub tenant_ids: BTreeMap<String, String>,
    /// `keysluice.dev/env-from-wins`: variables that are left to `envFrom`.
    pub env_from_wins: Vec<&'static str>,
    /// `keysluice.dev/token-layout`.
    pub token_layout: Option<TokenLayout>,
    /// `keysluice.dev/cpu-limit` of the sidecar.
    pub cpu_limit: Option<String>,
    /// `keysluice.dev/cpu-request` of the sidecar.
    pub cpu_request: Option<String>,
    /// `keysluice.dev/gate`.
    pub gate: Gate,
    /// `keysluice.dev/after`: the native sidecar behind which ours goes.
    pub after: Option<String>,
    /// `keysluice.dev/https-proxy` of the sidecar.
    pub https_proxy: Option<String>,
    /// `keysluice.dev/no-proxy` of the sidecar.
    pub no_proxy: Option<String>,
    /// `keysluice.dev/csi-volumes`.
    pub csi_volumes: Option<CsiVolumes>,
    /// `keysluice.dev/refresh-interval`, over the class's.
    pub refresh_interval: Option<Duration>,
    /// `keysluice.dev/mode`, over the classes'.
    pub mode: Option<Mode>,
    /// `keysluice.dev/on-missing`.
    pub on_missing: Option<OnMissing>,
    /// `keysluice.dev/size-limit`: bytes of each tmpfs.
    pub size_limit: Option<u64>,
    /// `keysluice.dev/adopt-secrets`: Secrets that are taken over from whoever made them.
    pub adopt_secrets: BTreeSet<String>,
    /// `keysluice.dev/keep-secrets`: Secrets that stay when their owners are gone.
    pub keep_secrets: BTreeSet<String>,
    /// `keysluice.dev/on-change` and what belongs to it.
    pub on_change: OnChange,
    /// What it says about files and variables without a class.
    pub inline: InlineAnnotations,
    /// `keysluice.dev/managed-identity-endpoint`.
    pub managed_identity_endpoint: Option<EndpointChoice>,
    /// `keysluice.dev/managed-identities`: identities of the endpoint beside the ServiceAccount's.
    pub managed_identities: Vec<MappedIdentity>,
    /// `keysluice.dev/metrics-port`.
    pub metrics_port: Option<u16>,
    /// `keysluice.dev/synced-secrets`, as an earlier run wrote it.
    pub synced_secrets: Option<String>,
    /// `keysluice.dev/reaction-right`, as an earlier run wrote it.
    pub reaction_right: Option<String>,
    /// `keysluice.dev/secrets-updated`, as a sidecar wrote it into the template.
    pub secrets_updated: Option<String>,
}

pub(super) const CSI_VOLUMES: &str = "keysluice.dev/csi-volumes";
pub(super) const ADOPT_SECRETS: &str = "keysluice.dev/adopt-secrets";
pub(super) const HTTPS_PROXY: &str = "keysluice.dev/https-proxy";
pub(super) const KEEP_SECRETS: &str = "keysluice.dev/keep-secrets";
pub(super) const MANAGED_IDENTITIES: &str = "keysluice.dev/managed-identities";
pub(super) const MANAGED_IDENTITY_ENDPOINT: &str = "keysluice.dev/managed-identity-endpoint";
pub(super) const ON_CHANGE: &str = "keysluice.dev/on-change";
pub(super) const ON_CHANGE_OF: &str = "keysluice.dev/on-change-of";
pub(super) const ON_CHANGE_SPREAD: &str = "keysluice.dev/on-change-spread";

/// One annotation: what users read of it, and what it sets.
#[derive(Debug)]
pub struct Annotation {
    /// The key.
    pub key: &'static str,
    /// What it takes, for errors and documentation.
    pub takes: &'static str,
    /// What it does.
    pub effect: &'static str,
    /// Sets it; `None` where the value is not what it takes.
    pub(super) set: fn(&mut Annotations, &str) -> Option<()>,
}

/// Every annotation; `docs/annotations.md` is generated from it.
pub const KNOWN: &[Annotation] = &[
    Annotation {
        key: ADOPT_SECRETS,
        takes: "names of Secrets of the pod's classes, separated by commas",
        effect: "takes over Secrets of these names that something else made, instead of leaving \
            them alone",
        set: |read, value| secrets(value).map(|names| read.adopt_secrets = names),
    },
    Annotation {
        key: "keysluice.dev/after",
        takes: "the name of a native sidecar",
        effect: "puts the sidecar after that one instead of first",
        set: |read, value| store(&mut read.after, (!value.is_empty()).then(|| value.to_owned())),
    },
    Annotation {
        key: "keysluice.dev/client-ids",
        takes: "CONTAINER=CLIENT-ID, several separated by ;",
        effect: "gives containers an identity of their own instead of the ServiceAccount's",
        set: |read, value| by_container(value).map(|ids| read.client_ids = ids),
    },
    Annotation {
        key: "keysluice.dev/containers",
        takes: "names of containers and init containers, separated by commas",
        effect: "gives inline files and variables to these containers alone (default: all that \
            start after the sidecar)",
        set: |read, value| {
            store(&mut read.inline.containers, inline_annotations::containers(value))
        },
    },
    Annotation {
        key: "keysluice.dev/cpu-limit",
        takes: "a quantity above 0 and of at least keysluice.dev/cpu-request, such as 100m",
        effect: "CPU limit of the sidecar (default: `injector.cpuLimit`; 100m if that is empty and \
                 the pod Guaranteed)",
        set: |read, value| {
            store(&mut read.cpu_limit, cpu_limit(value, read.cpu_request.as_deref()))
        },
    },
    Annotation {
        key: "keysluice.dev/cpu-request",
        takes: "a quantity of at most keysluice.dev/cpu-limit, such as 10m",
        effect: "CPU that the sidecar requests (default: `injector.cpuRequest`)",
        set: |read, value| {
            store(&mut read.cpu_request, cpu_request(value, read.cpu_limit.as_deref()))
        },
    },
    Annotation {
        key: CSI_VOLUMES,
        takes: "replace or leave",
        effect: "serves this pod's Secrets Store CSI volumes, or leaves them to the driver",
        set: |read, value| store(&mut read.csi_volumes, csi_volumes(value)),
    },
    Annotation {
        key: ENV_FROM,
        takes: "the name of a SecretProviderClass",
        effect: "sets a variable for each object of the class: db-password becomes DB_PASSWORD",
        set: |read, value| store(&mut read.inline.env_from, inline_annotations::class(value)),
    },
    Annotation {
        key: "keysluice.dev/env-from-wins",
        takes: "names of AZURE_ variables, separated by commas",
        effect: "leaves these variables to a container's envFrom, which an injected variable would \
                 override",
        set: |read, value| variables(value).map(|names| read.env_from_wins = names),
    },
    Annotation {
        key: "keysluice.dev/env-mode",
        takes: "file or exec",
        effect: "whether the kubelet reads the variables from a file (needs Kubernetes 1.35), or \
            the sidecar's program starts the container's command with them",
        set: |read, value| store(&mut read.inline.env_mode, value.parse().ok()),
    },
    Annotation {
        key: "keysluice.dev/env.NAME",
        takes: "a reference such as kv://VAULT/secrets/NAME: docs/inline.md",
        effect: "sets the variable NAME to a vault object, without a Secret",
        set: |_, _| None,
    },
    Annotation {
        key: "keysluice.dev/file.NAME",
        takes: "a reference such as kv://VAULT/secrets/NAME?mode=0400: docs/inline.md",
        effect: "writes a vault object to the file NAME below the mount path",
        set: |_, _| None,
    },
    Annotation {
        key: "keysluice.dev/gate",
        takes: "hook, probe or none",
        effect: "how the application waits for its first secrets (default hook)",
        set: |read, value| gate(value).map(|gate| read.gate = gate),
    },
    Annotation {
        key: HTTPS_PROXY,
        takes: "the URL of an HTTP proxy, such as http://proxy.example:3128, or none",
        effect: "proxy of the sidecar for Entra and the vaults (default: the operator's)",
        set: |read, value| store(&mut read.https_proxy, settings::of_annotation(value)),
    },
    Annotation {
        key: KEEP_SECRETS,
        takes: "names of Secrets of the pod's classes, separated by commas",
        effect: "keeps these Secrets when the last workload that uses them is gone",
        set: |read, value| secrets(value).map(|names| read.keep_secrets = names),
    },
    Annotation {
        key: MANAGED_IDENTITIES,
        takes: "CLIENT-ID, CLIENT-ID=OBJECT-ID or CLIENT-ID=RESOURCE-ID, several separated by ;",
        effect: "identities that the managed-identity endpoint gives tokens of beside the \
            ServiceAccount's, and the other names of each: docs/managed-identity-endpoint.md",
        set: |read, value| {
            managed_identity_values::identities(value).map(|found| read.managed_identities = found)
        },
    },
    Annotation {
        key: MANAGED_IDENTITY_ENDPOINT,
        takes: "true, false, intercept, or a port from 1024 to 65535",
        effect: "serves a managed-identity endpoint in the pod (default port 8000), with intercept \
            also on 169.254.169.254; overrides azure.workload.identity/inject-proxy-sidecar",
        set: |read, value| {
            store(&mut read.managed_identity_endpoint, managed_identity_values::endpoint(value))
        },
    },
    Annotation {
        key: METRICS_PORT,
        takes: "a port from 1024 to 65535",
        effect: "serves the sidecar's metrics on this port of the pod: docs/monitoring.md",
        set: |read, value| store(&mut read.metrics_port, managed_identity_values::port(value)),
    },
    Annotation {
        key: "keysluice.dev/mode",
        takes: "sidecar or init",
        effect: "whether the secrets are kept fresh (sidecar, the default), or fetched once by an \
            init container that ends (init); overrides the class's mode",
        set: |read, value| store(&mut read.mode, value.parse().ok()),
    },
    Annotation {
        key: "keysluice.dev/mount-path",
        takes: "an absolute path without .., // and :, other than / and outside of \
            /var/run/secrets, /run/secrets, /run/keysluice, /proc, /sys and /dev",
        effect: "where inline files are mounted (default /mnt/secrets-store)",
        set: |read, value| {
            store(&mut read.inline.mount_path, inline_annotations::mount_path(value))
        },
    },
    Annotation {
        key: "keysluice.dev/no-proxy",
        takes: "hosts as Go reads NO_PROXY, separated by commas",
        effect: "what the sidecar asks without the proxy (default: the operator's)",
        set: |read, value| store(&mut read.no_proxy, settings::exceptions(value)),
    },
    Annotation {
        key: ON_CHANGE,
        takes: "signal:HUP (or INT, QUIT, TERM, USR1, USR2, WINCH), restart, one of these with \
            @CONTAINER, http://127.0.0.1:PORT/path, http://[::1]:PORT/path, evict or rollout",
        effect: "what the sidecar does after files have changed: docs/reactions.md",
        set: |read, value| store(&mut read.on_change.action, on_change::action(value)),
    },
    Annotation {
        key: ON_CHANGE_OF,
        takes: "paths of files in the pod's volumes, at most 100, separated by commas",
        effect: "limits keysluice.dev/on-change to changes of these files",
        set: |read, value| on_change::files(value).map(|files| read.on_change.of = files),
    },
    Annotation {
        key: ON_CHANGE_SPREAD,
        takes: "a duration such as 0s, 30s or 2m, at most 24h",
        effect: "time within which the replicas react, each at another moment (default one \
            refresh interval)",
        set: |read, value| store(&mut read.on_change.spread, on_change::spread(value)),
    },
    Annotation {
        key: "keysluice.dev/on-missing",
        takes: "fail or wait",
        effect: "whether a start without all secrets fails after 30 s (default, except with the \
            gate none) or waits; wait implies the probe gate",
        set: |read, value| store(&mut read.on_missing, on_missing(value)),
    },
    Annotation {
        key: REACTION_RIGHT_ANNOTATION,
        takes: "what the webhook writes; not for users",
        effect: "the right that the pod's reaction needs at the API server, which the policy \
            guard-reactions reads; the webhook replaces any other value",
        set: |read, value| store(&mut read.reaction_right, Some(value.to_owned())),
    },
    Annotation {
        key: "keysluice.dev/refresh-interval",
        takes: "a duration from 1s to 24h, such as 30s, 2m or 1h",
        effect: "how often the sidecar asks the vault; overrides the class's refreshInterval",
        set: |read, value| store(&mut read.refresh_interval, interval(value)),
    },
    Annotation {
        key: ROLLOUT_ANNOTATION,
        takes: "what a sidecar writes into the pod template; not for users",
        effect: "when the newest vault object of the last rollout was updated: docs/reactions.md",
        set: |read, value| store(&mut read.secrets_updated, Some(value.to_owned())),
    },
    Annotation {
        key: "keysluice.dev/size-limit",
        takes: "a whole number of bytes from 1Mi to 16Gi, with the suffix Ki, Mi, Gi or none",
        effect: "size of each volume's tmpfs; overrides the size calculated from the class (two \
         generations of 32Ki per file)",
        set: |read, value| store(&mut read.size_limit, size(value)),
    },
    Annotation {
        key: SYNCED_ANNOTATION,
        takes: "what the webhook writes; not for users",
        effect: "names of the Secrets that the pod's sidecar writes, which the policy \
            guard-secrets reads; the webhook replaces any other value",
        set: |read, value| store(&mut read.synced_secrets, Some(value.to_owned())),
    },
    Annotation {
        key: "keysluice.dev/template.NAME",
        takes: "text with {{ files[\"FILE\"] }}: docs/templates.md",
        effect: "makes the file NAME below the mount path of the pod's inline files",
        set: |_, _| None,
    },
    Annotation {
        key: "keysluice.dev/tenant-ids",
        takes: "CONTAINER=TENANT-ID, several separated by ;",
        effect: "gives containers a tenant of their own instead of the ServiceAccount's",
        set: |read, value| by_container(value).map(|ids| read.tenant_ids = ids),
    },
    Annotation {
        key: "keysluice.dev/token-layout",
        takes: "v1.5, v1.6.0 or v1.6.1",
        effect: "where the token goes in the containers: the path of that release of Azure \
            Workload Identity",
        set: |read, value| store(&mut read.token_layout, value.parse().ok()),
    },
    Annotation {
        key: "keysluice.dev/vault",
        takes: "the name or the host of a vault",
        effect: "vault of inline references that name none",
        set: |read, value| store(&mut read.inline.vault, inline_annotations::vault(value)),
    },
];
