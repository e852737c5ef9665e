//! The three guides: their manifests as printed, what they set up in Azure, and what they promise.

use anyhow::Context as _;
use keysluice_emulator::Seed;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The tenant everything lives in.
pub const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// One guide.
#[derive(Debug, Clone, Copy)]
pub struct Guide {
    /// Directory below `tests/data/guides`.
    pub directory: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// File with the pod or its workload.
    pub workload: &'static str,
    /// Namespace of the pod.
    pub namespace: &'static str,
    /// The vault.
    pub vault: &'static str,
    /// Client id it sets up.
    pub client_id: &'static str,
    /// Files in the application's view with their first content; keys are checked by their first
    /// line.
    pub promises: &'static [(&'static str, &'static str)],
    /// The secret that is rotated: name, file, new value.
    pub rotation: (&'static str, &'static str, &'static str),
    /// The Kubernetes Secret of its class: name, and keys with the files that they hold.
    pub secret: Option<(&'static str, &'static [(&'static str, &'static str)])>,
    /// Calls until ready: (token calls, managed-identity calls, secret gets, key gets).
    pub calls: (u64, u64, u64, u64),
    /// Placeholders that a reader fills in.
    placeholders: &'static [(&'static str, &'static str)],
}

/// All three, in order.
pub const GUIDES: &[Guide] = &[
    Guide {
        directory: "workload-identity",
        title: "Workload identity: a labelled Deployment, an annotated ServiceAccount, a class \
            without clientID and tenant",
        workload: "deployment.yaml",
        namespace: "default",
        vault: "my-unique-kv-12345",
        client_id: "5d0e1f6a-0a4c-4d0e-9c53-1c2b3d4e5f60",
        promises: &[("/mnt/secrets-store/MyApplicationSecret", "SuperSecretValueFromTechNews")],
        rotation: (
            "MyApplicationSecret",
            "/mnt/secrets-store/MyApplicationSecret",
            "RotatedValueFromTechNews",
        ),
        secret: None,
        calls: (1, 0, 1, 0),
        placeholders: &[],
    },
    Guide {
        directory: "secret-sync",
        title: "Several objects in one volume, an alias, a mode, a Kubernetes Secret, rotation",
        workload: "pod.yaml",
        namespace: "keyvault-demo",
        vault: "keyvault-demo-001",
        client_id: "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8",
        promises: &[
            ("/mnt/secrets-store/demo-secret", "this-is-the-demo-secret"),
            ("/mnt/secrets-store/connections/orders", "Server=orders;Password=first"),
        ],
        rotation: (
            "demo-connection",
            "/mnt/secrets-store/connections/orders",
            "Server=orders;Password=second",
        ),
        secret: Some((
            "demo-secret",
            &[
                ("demo-secret", "/mnt/secrets-store/demo-secret"),
                ("orders", "/mnt/secrets-store/connections/orders"),
            ],
        )),
        calls: (1, 0, 2, 0),
        placeholders: &[],
    },
    Guide {
        directory: "managed-identity",
        title: "Managed identity: an unlabelled pod, selected by its CSI volume; a secret and a \
            key",
        workload: "pod.yaml",
        namespace: "keyvault-ns",
        vault: "aks-demo-kv",
        client_id: "3f2a9c1e-7b64-4e0b-8d5a-6c1f0e9b2d47",
        promises: &[
            ("/mnt/secrets/my-secret", "super-secret-password"),
            ("/mnt/secrets/my-key", "-----BEGIN PUBLIC KEY-----"),
        ],
        rotation: ("my-secret", "/mnt/secrets/my-secret", "another-secret-password"),
        secret: None,
        calls: (0, 1, 1, 1),
        placeholders: &[
            ("<MI_CLIENT_ID>", "3f2a9c1e-7b64-4e0b-8d5a-6c1f0e9b2d47"),
            ("<MI_TENANT_ID>", TENANT),
        ],
    },
];

impl Guide {
    /// Copies the manifests to `target`, with the placeholders filled in.
    pub fn fill_in(&self, data: &Path, target: &Path) -> anyhow::Result<PathBuf> {
        use std::io::Write as _;
        let source = data.join("guides").join(self.directory);
        let target = target.join(self.directory);
        std::fs::create_dir_all(&target)?;
        for entry in
            std::fs::read_dir(&source).with_context(|| format!("reading {}", source.display()))?
        {
            let entry = entry?;
            let mut text = std::fs::read_to_string(entry.path())?;
            for (placeholder, value) in self.placeholders {
                text = text.replace(placeholder, value);
            }
            std::fs::File::create(target.join(entry.file_name()))?.write_all(text.as_bytes())?;
        }
        Ok(target)
    }

    /// The pod that reaches the API server; for a Deployment the one its controller would create.
    pub fn pod(&self, directory: &Path) -> anyhow::Result<Value> {
        let text = std::fs::read_to_string(directory.join(self.workload))?;
        let object: Value = serde_saphyr::from_str(&text)?;
        if object["kind"] == "Pod" {
            return Ok(object);
        }
        let template = &object["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        metadata["generateName"] =
            json!(format!("{}-", object["metadata"]["name"].as_str().unwrap_or_default()));
        Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": template["spec"]}))
    }

    /// What the guide's `az` commands leave in Azure, with the least rights that suffice.
    ///
    /// # Panics
    /// If the seed below is not one: a bug here.
    pub fn seed(&self) -> Seed {
        let (tokens, ..) = self.calls;
        let secrets: serde_json::Map<_, _> = self
            .promises
            .iter()
            .filter(|(path, _)| !path.ends_with("my-key"))
            .map(|(path, value)| {
                let name = if path.ends_with("orders") {
                    "demo-connection"
                } else {
                    path.rsplit('/').next().unwrap_or_default()
                };
                (name.to_owned(), json!(value))
            })
            .collect();
        let account = match self.directory {
            "workload-identity" => "my-app-service-account",
            _ => "keyvault-demo-sa",
        };
        let app = if tokens > 0 {
            json!({"clientId": self.client_id, "tenantId": TENANT,
                "federatedCredentials": [{"subject": format!("system:serviceaccount:{}:{account}",
                    self.namespace)}]})
        } else {
            json!({"clientId": self.client_id, "tenantId": TENANT, "kind": "managedIdentity"})
        };
        let seed = json!({"apps": [app],
            "vaults": [{"name": self.vault, "tenantId": TENANT, "secrets": secrets,
            "keys": {"my-key": {"kty": "RSA"}},
            "roles": [{"clientId": self.client_id, "secrets": ["get"], "keys": ["get"]}]}]});
        serde_json::from_value(seed).expect("the seed is written above")
    }
}
