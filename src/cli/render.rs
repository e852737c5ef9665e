//! `keysluice render`: manifests for the cluster.

use super::rbac::files;
use super::shared_options::image;
use super::{FAILED, Failure};
use crate::mutate::{CSI_DRIVER, USE_LABEL};
use crate::rights::{Form, Grants, Place, SECRET_TYPES, Workload, document, refused, shortened};
use crate::settings::Settings;
use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

const MOUNT: &str = "/mnt/secrets-store";
/// Of the value of a label, and of a name from which pod names are made.
const MAX_LABEL_BYTES: usize = 63;

/// Print manifests.
#[derive(Debug, Args)]
pub(super) struct Render {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a Deployment that keeps the Secrets of SecretProviderClasses up to date without an
    /// application, and the Role for it.
    Sync(Sync),
}

#[derive(Debug, Args)]
struct Sync {
    /// Manifest with SecretProviderClasses (repeatable; - reads standard input).
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// ServiceAccount with whose identity the vault is read.
    #[arg(long, value_name = "NAME", value_parser = super::object_name)]
    service_account: String,
    /// Namespace of classes that do not name one.
    #[arg(short = 'n', long, value_name = "NS", value_parser = super::object_name)]
    namespace: Option<String>,
    /// Image of the container that does nothing: the sidecar's.
    #[arg(long, env = "KEYSLUICE_INJECTOR_IMAGE", value_name = "REF", value_parser = image)]
    image: Option<String>,
}

impl Render {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let What::Sync(sync) = self.what;
        sync.run()
    }
}

impl Sync {
    fn run(self) -> Result<ExitCode, Failure> {
        let (facts, secrets) = files::read(&self.files, self.namespace.as_deref())?;
        let workloads: Vec<Workload> =
            facts.classes.keys().map(|place| self.workload(place)).collect();
        if workloads.is_empty() {
            return Err(Failure::usage(anyhow!("no SecretProviderClass in the given files")));
        }
        let found = Grants::of(&workloads, &facts.classes);
        let foreign = secrets.iter().filter_map(|(at, value)| found.grants.check_owner(at, value));
        for warning in refused(&workloads, &facts.classes) {
            eprintln!("keysluice: warning: {warning}");
        }
        let faults: Vec<_> = found.faults.iter().cloned().chain(foreign).collect();
        for warning in facts.warnings.iter().chain(&found.warnings) {
            eprintln!("keysluice: warning: {warning}");
        }
        for fault in &faults {
            eprintln!("keysluice: {fault}");
        }
        if !faults.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        if found.grants.is_empty() {
            return Err(Failure::usage(anyhow!(
                "no SecretProviderClass of provider azure with secretObjects in the given files"
            )));
        }
        let mut text = format!(
            "# The cluster needs the policy {SECRET_TYPES} before these rights: keysluice rbac \
             --policy-only\n{}",
            found.grants.print(Form::ByAccount)
        );
        let image = self.image.as_deref().unwrap_or(Settings::DEFAULT_INJECTOR_IMAGE);
        for (place, class) in &facts.classes {
            if class
                .as_ref()
                .is_ok_and(|class| class.is_azure() && !class.secret_objects.is_empty())
            {
                let comment = "The pod has no application: its container does nothing, and the \
                    webhook adds the sidecar that reads the vault and writes the Secrets.";
                document(&mut text, comment, &deployment(place, &self.service_account, image));
            }
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn workload(&self, place: &Place) -> Workload {
        let (namespace, class) = place.clone();
        Workload {
            owner: format!("Deployment {namespace}/{}", name(&class)),
            namespace,
            service_account: self.service_account.clone(),
            attributes: vec![BTreeMap::from([("secretProviderClass".to_owned(), class.clone())])],
            classes: vec![class],
            has_inline: false,
            reaction: Ok(None),
        }
    }
}

fn name(class: &str) -> String {
    shortened(format!("keysluice-sync-{class}"), MAX_LABEL_BYTES)
}

/// Fits Pod Security `restricted`.
fn deployment((namespace, class): &Place, account: &str, image: &str) -> Value {
    let name = name(class);
    let volume = json!({"name": "secrets", "csi": {"driver": CSI_DRIVER, "readOnly": true,
        "volumeAttributes": {"secretProviderClass": class}}});
    let container = json!({
        "name": "idle",
        "image": image,
        "command": ["/keysluice-injector", "idle"],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "16Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        // Volumes that no container mounts are not made.
        "volumeMounts": [{"name": "secrets", "mountPath": MOUNT, "readOnly": true}],
    });
    let selector = json!({"app.kubernetes.io/name": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": selector},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {"app.kubernetes.io/name": name, USE_LABEL: "true"},
                    // A class may say that its secrets are fetched only once.
                    "annotations": {"keysluice.dev/mode": "sidecar"},
                },
                "spec": {
                    "serviceAccountName": account,
                    "automountServiceAccountToken": false,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [volume],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployment_has_one_replica_the_label_and_the_class() {
        let place = ("app".to_owned(), "c".to_owned());
        let deployment = deployment(&place, "web", "x/y:1");
        assert_eq!(deployment["metadata"]["name"], "keysluice-sync-c");
        assert_eq!(deployment["spec"]["replicas"], 1);
        let template = &deployment["spec"]["template"];
        assert_eq!(template["metadata"]["labels"][USE_LABEL], "true");
        assert_eq!(
            template["metadata"]["annotations"],
            json!({"keysluice.dev/mode": "sidecar"}),
            "whatever the class says"
        );
        let container = &template["spec"]["containers"][0];
        assert_eq!(container["image"], "x/y:1");
        assert_eq!(container["command"], json!(["/keysluice-injector", "idle"]));
        let volume = &template["spec"]["volumes"][0];
        assert_eq!(volume["csi"]["volumeAttributes"]["secretProviderClass"], "c");
        let long = name(&"c".repeat(253));
        assert!(long.len() == 63 && long != name(&"c".repeat(252)), "{long}");
    }
}
