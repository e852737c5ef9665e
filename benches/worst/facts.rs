//! What the webhook knows of the cluster: an account, and a class of many files and Secrets.

use keysluice::mutate::{ClassFact, Facts, ServiceAccount};
use keysluice::provider_class::ProviderClass;
use serde_json::json;
use std::sync::Arc;

pub(crate) fn facts(id_bytes: usize) -> Facts {
    let id = if id_bytes == 0 {
        "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8".to_owned()
    } else {
        "x".repeat(id_bytes)
    };
    let mut objects = "array:\n".to_owned();
    for index in 0..400 {
        objects += &format!(
            "  - |\n    objectName: o{index}\n    objectType: secret\n    filePermission: \
             \"0440\"\n    fileGroup: {}\n",
            200_000 + index
        );
    }
    let secrets: Vec<_> = (0..500)
        .map(|index| {
            json!({"secretName": format!("s{}", index + 18_000),
        "type": "Opaque", "data": [{"objectName": "o1", "key": "k"}]})
        })
        .collect();
    let class = json!({"kind": "SecretProviderClass", "metadata": {"name": "kv", "namespace": "ns"},
        "spec": {"provider": "azure",
        "parameters": {"keyvaultName": "vault-1", "tenantId": "t", "objects": objects},
        "secretObjects": secrets}});
    let mut facts = Facts {
        service_account: Some(ServiceAccount::from_annotations([(
            "azure.workload.identity/client-id",
            id.as_str(),
        )])),
        ..Facts::default()
    };
    facts.classes.insert(
        "kv".to_owned(),
        ClassFact::Found(Arc::new(ProviderClass::from_value(&class).expect("a class"))),
    );
    facts
}
