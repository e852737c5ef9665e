//! The checks: facts in, findings out.

use super::super::finding::{Finding, Level};
use super::facts::{Enforcer, Fact, Facts, State, Unknown};
use super::image::not_run;
use crate::reason;
use crate::settings::CsiVolumes;

/// Entries that are ours in whatever configuration they stand.
const OUR_ENTRIES: [&str; 2] = ["pods.keysluice.dev", "csi-volumes.keysluice.dev"];
const AZURE_WORKLOAD_IDENTITY: &str = "mutation.azure-workload-identity.io";
const NEEDED: [&str; 3] = [
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];
const OLDEST: (u32, u32) = (1, 30);

type Check = fn(&Facts) -> Vec<Finding>;

/// Before an installation, in the order in which they are printed.
const PRE: [Check; 9] = [
    kubernetes,
    admission,
    other_installation,
    azure_workload_identity,
    enforcer,
    csi_driver,
    injector_image,
    pull_secrets,
    application,
];

pub(super) fn pre(facts: &Facts) -> Vec<Finding> {
    PRE.iter().flat_map(|check| check(facts)).collect()
}

fn kubernetes(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "kubernetes";
    let version = match known(CHECK, "the API server's version", &facts.version) {
        Ok(version) => version,
        Err(unknown) => return unknown,
    };
    let (major, minor) = (version.major, version.minor);
    if (major, minor) >= OLDEST {
        return good(
            CHECK,
            format!(
                "Kubernetes {major}.{minor} has native sidecars, match conditions and policies"
            ),
        );
    }
    bad(
        CHECK,
        "KS725",
        format!("Kubernetes {major}.{minor} is too old; hint: upgrade it to 1.30 or later"),
    )
}

fn admission(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "admission";
    let served = match known(CHECK, "what the API server serves", &facts.admission_resources) {
        Ok(served) => served,
        Err(unknown) => return unknown,
    };
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|needed| !served.iter().any(|one| one == needed)).collect();
    if missing.is_empty() {
        return good(CHECK, "webhook configurations and admission policies are served".to_owned());
    }
    let text = format!(
        "the API server does not serve {} of admissionregistration.k8s.io/v1; hint: enable that \
         version (--runtime-config)",
        missing.join(", ")
    );
    bad(CHECK, "KS727", text)
}

fn other_installation(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "other-installation";
    let configurations = known(CHECK, "webhook configurations", &facts.configurations);
    let policies = known(CHECK, "admission policies", &facts.policies);
    let (configurations, policies) = match (configurations, policies) {
        (Ok(configurations), Ok(policies)) => (configurations, policies),
        (configurations, policies) => {
            return [configurations.err(), policies.err()]
                .into_iter()
                .flatten()
                .flatten()
                .collect();
        }
    };
    let own = &facts.installation;
    let foreign = configurations.iter().filter(|one| {
        let is_ours = one.entries.iter().any(|entry| OUR_ENTRIES.contains(&entry.as_str()));
        let is_elsewhere =
            one.namespace.as_ref().is_some_and(|namespace| *namespace != own.namespace);
        is_ours && (one.name != own.name || is_elsewhere)
    });
    let mut findings: Vec<Finding> = foreign
        .map(|one| {
            let namespace = one.namespace.as_deref().unwrap_or("no namespace");
            format!(
                "MutatingWebhookConfiguration {} leads to another installation of Keysluice, in \
                 {namespace}",
                one.name
            )
        })
        .map(|text| {
            finding(
                CHECK,
                Level::Failed,
                "KS729",
                format!("{text}; hint: one a cluster: upgrade that one, or uninstall it first"),
            )
        })
        .collect();
    let own_guard = format!("{}-guard-", own.name);
    for policy in policies {
        let is_guard = policy
            .messages
            .iter()
            .any(|message| message.starts_with("KS720 ") || message.starts_with("KS721 "));
        if is_guard && !policy.name.starts_with(&own_guard) {
            let text = format!(
                "ValidatingAdmissionPolicy {} is the guard of another installation of Keysluice; \
                 hint: uninstall it, or delete that policy where nothing else of it is left",
                policy.name
            );
            findings.push(finding(CHECK, Level::Failed, "KS729", text));
        }
    }
    if findings.is_empty() {
        return good(CHECK, "there is no other installation of Keysluice".to_owned());
    }
    findings
}

fn azure_workload_identity(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "azure-workload-identity";
    // Whether they are known at all is another check's.
    let Ok(configurations) = &facts.configurations else { return Vec::new() };
    let theirs = configurations
        .iter()
        .find(|one| one.entries.iter().any(|entry| entry == AZURE_WORKLOAD_IDENTITY));
    let Some(theirs) = theirs else {
        return good(CHECK, "Azure Workload Identity's webhook is not there".to_owned());
    };
    let order = if theirs.name < facts.installation.name {
        "it is called first, and what it writes is kept"
    } else {
        "it is called after this one, because configurations are called in the order of their names"
    };
    let text = format!(
        "Azure Workload Identity's webhook is there too ({}): {order}; hint: \
         docs/azure-workload-identity.md has the steps from one to the other",
        theirs.name
    );
    vec![finding(CHECK, Level::Warning, "KS732", text)]
}

/// What AKS does with webhook configurations, where it is seen to do it.
fn enforcer(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "aks-enforcer";
    let Ok(configurations) = &facts.configurations else { return Vec::new() };
    let own = configurations.iter().find(|one| one.name == facts.installation.name);
    match own.map(|one| one.enforcer) {
        Some(Enforcer::Changes) => {
            let text = format!(
                "AKS's admissions enforcer changes MutatingWebhookConfiguration {}: pods in \
                 namespaces of AKS are left out, and an upgrade that applies on the server \
                 conflicts with it; hint: {}",
                facts.installation.name,
                reason::KS819.fix
            );
            vec![finding(CHECK, Level::Warning, reason::KS819.code, text)]
        }
        Some(Enforcer::Disabled) => {
            good(CHECK, "AKS's admissions enforcer is disabled for the configuration".to_owned())
        }
        _ if configurations.iter().any(|one| one.enforcer == Enforcer::Changes) => good(
            CHECK,
            "AKS's admissions enforcer will leave out its own namespaces; \
             mutatingWebhookAnnotations of the chart can disable it (docs/operate.md)"
                .to_owned(),
        ),
        _ => Vec::new(),
    }
}

fn application(facts: &Facts) -> Vec<Finding> {
    facts.application.as_ref().map(super::application::application).unwrap_or_default()
}

fn csi_driver(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "csi-driver";
    let has_driver = match known(CHECK, "the CSI driver", &facts.has_csi_driver) {
        Ok(has_driver) => *has_driver,
        Err(unknown) => return unknown,
    };
    let text = match (has_driver, facts.csi_volumes) {
        (true, CsiVolumes::Auto) => {
            "the Secrets Store CSI driver is there: its volumes stay with it (csiVolumes: auto)"
        }
        (true, CsiVolumes::Replace) => {
            "the Secrets Store CSI driver is there: volumes of new pods are served by the sidecar \
             (csiVolumes: replace)"
        }
        (_, CsiVolumes::Leave) => "Secrets Store CSI volumes are left alone (csiVolumes: leave)",
        (false, _) => "the Secrets Store CSI driver is not there: the sidecar serves its volumes",
    };
    good(CHECK, text.to_owned())
}

fn injector_image(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "injector-image";
    let Some(injector) = &facts.injector else { return Vec::new() };
    let container = match known(CHECK, "the pod with the sidecar's image", injector) {
        Ok(container) => container,
        Err(unknown) => return unknown,
    };
    let namespace = &facts.installation.namespace;
    if matches!(container.state, State::Ended { exit_code: 0, .. }) {
        let image = &container.image;
        return good(
            CHECK,
            format!("the sidecar's image {image} was pulled in {namespace} and runs"),
        );
    }
    vec![not_run(CHECK, container, namespace)]
}

fn pull_secrets(facts: &Facts) -> Vec<Finding> {
    if !facts.pull_secrets {
        return Vec::new();
    }
    let text = format!(
        "imagePullSecrets serve namespace {} alone; hint: where the sidecar's image needs one \
         too, each namespace with such pods needs its own, named by imagePullSecrets of the pod \
         or its ServiceAccount",
        facts.installation.namespace
    );
    vec![finding("pull-secrets", Level::Warning, "KS733", text)]
}

/// The fact, or the finding that it is not known.
fn known<'a, T>(check: &'static str, what: &str, fact: &'a Fact<T>) -> Result<&'a T, Vec<Finding>> {
    fact.as_ref().map_err(|Unknown { forbidden, message }| {
        let hint = if *forbidden {
            "hint: the chart gives the right by ClusterRole and Role NAME-doctor; by hand, run it \
             as who installs"
        } else {
            "hint: is the API server reachable from the namespace?"
        };
        bad(check, "KS728", format!("{what} cannot be read: {message}; {hint}"))
    })
}

fn good(check: &'static str, text: String) -> Vec<Finding> {
    vec![Finding::good(check, text)]
}

fn bad(check: &'static str, code: &'static str, text: String) -> Vec<Finding> {
    vec![finding(check, Level::Failed, code, text)]
}

fn finding(check: &'static str, level: Level, code: &'static str, text: String) -> Finding {
    Finding::new(check, level, code, text)
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
