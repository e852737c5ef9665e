//! The Secrets Store CSI driver: classes and volumes stay; each workload is handed over with an
//! annotation.

use super::names::CSI_VOLUMES;
use super::{Migration, Section, Source, set, text, written};
use crate::mutate::CSI_DRIVER;
use crate::reason;
use serde_json::Value;

/// Files that the driver fills from another provider stay with it.
enum Provider {
    Azure,
    Other(String),
    Unknown,
}

pub(super) fn rewrite(migration: &mut Migration) {
    for (index, pointer) in migration.pods() {
        let object = &migration.objects[index];
        let (owner, namespace) = (object.owner(), object.place().0);
        let pod = object.pod(&pointer);
        let volumes: Vec<(String, String)> = volumes(&pod["spec"]);
        if volumes.is_empty() {
            continue;
        }
        migration.sources.insert(Source::CsiDriver);
        let object = &migration.objects[index];
        let pod = object.pod(&pointer);
        let asked = text(&pod["metadata"]["annotations"], CSI_VOLUMES).to_owned();
        let mut is_ours = false;
        for (volume, class) in volumes {
            match provider(migration, &namespace, &class) {
                Provider::Azure => is_ours = true,
                Provider::Other(provider) => migration.report.add(
                    Section::Differs,
                    &owner,
                    format!("volume {volume} is of provider {provider} and stays with the driver"),
                ),
                Provider::Unknown => {
                    is_ours = true;
                    migration.report.add(
                        Section::ByHand,
                        &owner,
                        format!(
                            "{} SecretProviderClass {} is not in the input, so \
                             what it needs is not known; hint: {}",
                            reason::KS767,
                            written(&(namespace.clone(), class)),
                            reason::KS767.fix
                        ),
                    );
                }
            }
        }
        if !is_ours {
            continue;
        }
        if asked.is_empty() {
            set(migration.objects[index].pod_mut(&pointer), "annotations", CSI_VOLUMES, "replace");
            migration.report.add(
                Section::Changed,
                &owner,
                format!(
                    "the annotation {CSI_VOLUMES}: replace on the pod template; its next pods have \
                     the sidecar, also while the driver is installed"
                ),
            );
        } else {
            migration.report.add(
                Section::Differs,
                &owner,
                format!("{CSI_VOLUMES} is {asked} already and stays"),
            );
        }
    }
}

/// Name and class of each volume of the driver.
fn volumes(spec: &Value) -> Vec<(String, String)> {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let of_driver = volumes.filter(|volume| volume["csi"]["driver"] == CSI_DRIVER);
    let named = of_driver.map(|volume| {
        let class = text(&volume["csi"]["volumeAttributes"], "secretProviderClass");
        (text(volume, "name").to_owned(), class.to_owned())
    });
    named.collect()
}

fn provider(migration: &Migration, namespace: &str, class: &str) -> Provider {
    let place = (namespace.to_owned(), class.to_owned());
    let Some(index) = migration.find("SecretProviderClass", &place) else {
        let added = migration.additions.iter().any(|addition| {
            addition.value["kind"] == "SecretProviderClass"
                && addition.value["metadata"]["name"] == *class
        });
        return if added { Provider::Azure } else { Provider::Unknown };
    };
    match text(&migration.objects[index].value["spec"], "provider") {
        "azure" => Provider::Azure,
        other => Provider::Other(other.to_owned()),
    }
}
