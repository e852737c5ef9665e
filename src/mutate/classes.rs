//! The classes that a pod's volumes name, resolved.

use super::context::{ClassFact, Context};
use super::refusal::{Cause, Refusal};
use super::token_proxy;
use crate::pod::{Csi, Pod};
use crate::provider_class::{self, ClassError, ClassPlan, ProviderClass};
use std::sync::Arc;

/// Bytes of class that are read for one pod: twice the largest document, more than fits into a
/// Plan. Every volume may lay other attributes over its class, so each may cost a reading of it.
const MAX_CLASS_BYTES: usize = 128 << 10;

/// The class that a volume names, as the cluster has it.
pub(super) fn find_class(
    volume: &str,
    csi: &Csi<'_>,
    context: Context<'_>,
) -> Result<Arc<ProviderClass>, Refusal> {
    let name = csi.class_name().ok_or_else(|| Cause::ClassUnnamed { volume: volume.to_owned() })?;
    find_named(volume, name, context)
}

/// The class of a name, as the cluster has it.
pub(super) fn find_named(
    volume: &str,
    name: &str,
    context: Context<'_>,
) -> Result<Arc<ProviderClass>, Refusal> {
    match context.facts.classes.get(name) {
        Some(ClassFact::Found(class)) => Ok(Arc::clone(class)),
        Some(ClassFact::Invalid(error)) => {
            let (volume, class) = (volume.to_owned(), format!("{}/{name}", context.namespace));
            Err(Cause::Class { volume, class, source: Arc::clone(error) }.into())
        }
        Some(ClassFact::Missing) | None => {
            let (volume, namespace) = (volume.to_owned(), context.namespace.to_owned());
            Err(Cause::ClassMissing { volume, namespace, class: name.to_owned() }.into())
        }
    }
}

/// An error of a class, and where it comes from.
pub(super) fn class_cause(volume: &str, class: &ProviderClass, source: ClassError) -> Refusal {
    let (volume, class) = (volume.to_owned(), format!("{}/{}", class.namespace, class.name));
    Cause::Class { volume, class, source: Arc::new(source) }.into()
}

/// Plans of one pod: a class that many volumes name alike is resolved once.
pub(super) struct Resolver<'a> {
    pod: &'a Pod<'a>,
    context: Context<'a>,
    plans: Vec<(&'a Csi<'a>, Arc<ClassPlan>)>,
    bytes: usize,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(pod: &'a Pod<'a>, context: Context<'a>) -> Self {
        Self { pod, context, plans: Vec::new(), bytes: 0 }
    }

    /// The Plan for a volume, and whether it is the first of its kind.
    pub(super) fn plan(
        &mut self,
        volume: &str,
        csi: &'a Csi<'a>,
        class: &ProviderClass,
    ) -> Result<(Arc<ClassPlan>, bool), Refusal> {
        if let Some((_, plan)) = self.plans.iter().find(|(other, _)| is_same(other, csi)) {
            return Ok((Arc::clone(plan), false));
        }
        let attributes: Vec<(&str, &str)> = csi.volume_attributes.iter().collect();
        let bytes = attributes.iter().map(|(key, value)| key.len() + value.len());
        self.bytes += class.size_bytes() + bytes.sum::<usize>();
        if self.bytes > MAX_CLASS_BYTES {
            let what = "bytes in the SecretProviderClasses of its volumes, each counted with its \
                attributes";
            return Err(Cause::TooMany { what, limit: MAX_CLASS_BYTES }.into());
        }
        let service_principal = principal(csi);
        let plan =
            class.resolved(&attributes, &surroundings(self.pod, self.context, service_principal));
        let plan = plan.map_err(|source| class_cause(volume, class, source))?;
        self.plans.push((csi, Arc::clone(&plan)));
        Ok((plan, true))
    }
}

/// What surrounds a class, or an inline reference.
pub(super) fn surroundings<'a>(
    pod: &Pod<'_>,
    context: Context<'a>,
    service_principal: Option<&'a str>,
) -> provider_class::Context<'a> {
    let (settings, account) = (context.settings, context.facts.service_account.as_ref());
    let tenant = account.and_then(|account| account.tenant_id.as_deref());
    provider_class::Context {
        clouds: &settings.clouds,
        client_id: account.and_then(|account| account.client_id.as_deref()),
        tenant_id: tenant
            .filter(|tenant| !tenant.trim().is_empty())
            .or(settings.tenant_id.as_deref()),
        limits: &settings.limits,
        service_principal,
        split_certificates: settings.split_certificates,
        token_proxy: token_proxy::use_by(pod, settings),
    }
}

/// The Secret with the credentials of a volume.
fn principal<'c>(csi: &'c Csi<'_>) -> Option<&'c str> {
    csi.node_publish_secret_ref.as_ref().map(|secret| &*secret.name)
}

/// Whether two volumes say the same; the class's name is one of the attributes.
fn is_same(one: &Csi<'_>, other: &Csi<'_>) -> bool {
    principal(one) == principal(other)
        && one.volume_attributes.iter().eq(other.volume_attributes.iter())
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{
        CLIENT, account, class, csi_volume, facts, labelled, plan_of, pod_with_volume, run_with,
        settings,
    };
    use keysluice_plan::Credential;
    use serde_json::{Value, json};

    /// What a pod of this many volumes comes to, each with an attribute of its own if they are
    /// `distinct`.
    fn run(volumes: usize, parameters: &Value, distinct: bool) -> Result<Vec<String>, String> {
        let mut facts = facts();
        facts.classes.insert("big".to_owned(), class("big", parameters));
        let volumes: Vec<_> = (0..volumes)
            .map(|index| {
                let mut volume = csi_volume(&format!("v{index}"), "big");
                if distinct {
                    volume["csi"]["volumeAttributes"][format!("objekts{index}")] = json!("");
                }
                volume
            })
            .collect();
        let pod = labelled("pod", json!({"containers": [{"name": "app"}], "volumes": volumes}));
        run_with(&pod, &settings(), &facts).map(|(_, mutation)| mutation.warnings)
    }

    #[test]
    fn a_pod_makes_us_read_so_many_bytes_of_classes_and_no_more() {
        let large = json!({"keyvaultName": "vault-1", "objects": "#".repeat(40 << 10)});
        for (volumes, distinct, fits) in
            [(3, true, true), (4, true, false), (64, true, false), (64, false, true)]
        {
            let error = run(volumes, &large, distinct).err();
            let expected = "KS214 the pod has more than 131072 bytes in the SecretProviderClasses \
                of its volumes";
            assert_eq!(error.is_none(), fits, "{volumes} {distinct}: {error:?}");
            assert!(error.is_none_or(|error| error.starts_with(expected)), "{volumes} {distinct}");
        }
    }

    #[test]
    fn a_pod_gets_as_many_warnings_as_are_shown_and_each_once() {
        let misspelt = json!({"keyvaultName": "vault-1", "objects": "", "keyVaultName": "x"});
        assert_eq!(run(8, &misspelt, false).unwrap().len(), 2, "KS141 and KS140");
        assert_eq!(run(64, &misspelt, true).unwrap().len(), 16);
    }

    #[test]
    fn service_principal_credentials_count_only_where_they_would_be_used() {
        let (good, bad) = (
            json!({"keyvaultName": "vault-1"}),
            json!({"keyvaultName": "vault-1", "objects": "x"}),
        );
        for (parameters, attributes, expected) in [
            (&good, json!({}), "KS163 nodePublishSecretRef"),
            (&good, json!({"clientID": " "}), "KS163"),
            (&good, json!({"clientID": CLIENT}), ""),
            (&good, json!({"useVMManagedIdentity": "true"}), ""),
            // In the provider's order: what it finds before it looks for credentials comes first,
            // the objects after.
            (&good, json!({"usePodIdentity": "tru"}), "KS110"),
            (&good, json!({"usePodIdentity": "true"}), ""),
            (&good, json!({"keyvaultName": ""}), "KS103"),
            (&good, json!({"tenantID": "<TENANT>"}), "KS108"),
            (&good, json!({"cloudName": "nowhere"}), "KS116"),
            (&bad, json!({}), "KS163"),
            (&bad, json!({"clientID": CLIENT}), "KS106"),
            (&bad, json!({"useVMManagedIdentity": "true"}), "KS106"),
        ] {
            let mut facts = facts();
            facts.classes.insert("kv".into(), class("kv", parameters));
            let mut pod = pod_with_volume();
            let csi = &mut pod["spec"]["volumes"][0]["csi"];
            csi["nodePublishSecretRef"] = json!({"name": "no name"});
            let own_attributes = csi["volumeAttributes"].as_object_mut().unwrap();
            own_attributes.extend(attributes.as_object().unwrap().clone());
            let error = run_with(&pod, &settings(), &facts).err().unwrap_or_default();
            assert!(
                error.starts_with(expected) && error.is_empty() == expected.is_empty(),
                "{parameters} {attributes}: {error}"
            );
        }
    }

    #[test]
    fn a_blank_tenant_annotation_leaves_the_class_the_clusters_default() {
        let mut facts = facts();
        for (annotation, tenant) in [(" ", "cluster-tenant"), ("other", "other")] {
            let annotations = [
                ("azure.workload.identity/client-id", CLIENT),
                ("azure.workload.identity/tenant-id", annotation),
            ];
            facts.service_account = Some(account(&annotations));
            let (pod, _) = run_with(&pod_with_volume(), &settings(), &facts).unwrap();
            let credential = &plan_of(&pod).identities[0].credential;
            assert!(
                matches!(credential,
                    Credential::Federated { tenant_id, .. } if tenant_id == tenant),
                "{credential:?}"
            );
        }
    }
}
