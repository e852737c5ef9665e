use super::super::super::finding::failed;
use super::super::facts::{
    Configuration, Container, Enforcer, Facts, Installation, Policy, State, Unknown, Version,
};
use super::{Level, pre};
use crate::settings::CsiVolumes;
use serde_json::json;

/// A cluster that an installation can go into.
fn healthy() -> Facts {
    Facts {
        installation: Installation {
            namespace: "keysluice-system".to_owned(),
            name: "keysluice".to_owned(),
        },
        version: Ok(Version { major: 1, minor: 30 }),
        admission_resources: Ok(super::NEEDED.map(str::to_owned).to_vec()),
        configurations: Ok(Vec::new()),
        policies: Ok(Vec::new()),
        has_csi_driver: Ok(false),
        csi_volumes: CsiVolumes::Auto,
        injector: Some(Ok(injector(State::Ended { exit_code: 0, message: String::new() }))),
        pull_secrets: false,
        application: None,
    }
}

fn injector(state: State) -> Container {
    Container { image: "registry.test/injector:1".to_owned(), state }
}

fn configuration(name: &str, entry: &str, namespace: &str) -> Configuration {
    Configuration {
        name: name.to_owned(),
        entries: vec![entry.to_owned()],
        namespace: Some(namespace.to_owned()),
        enforcer: Enforcer::Unknown,
    }
}

fn waiting(reason: &str) -> State {
    State::Waiting { reason: reason.to_owned(), message: "no such image".to_owned() }
}

#[test]
fn a_healthy_cluster_has_only_good_findings() {
    let findings = pre(&healthy());
    assert!(
        findings.iter().all(|finding| finding.level == Level::Good && finding.code.is_none()),
        "{findings:?}"
    );
    assert_eq!(findings.len(), 6);
}

fn forbidden() -> Unknown {
    Unknown { forbidden: true, message: "403".to_owned() }
}

#[test]
fn each_finding_has_its_code_and_level() {
    type Change = fn(&mut Facts);
    let cases: Vec<(&str, Change, &[(&str, Level)])> = vec![
        (
            "old",
            |facts| facts.version = Ok(Version { major: 1, minor: 29 }),
            &[("KS725", Level::Failed)],
        ),
        ("newer major", |facts| facts.version = Ok(Version { major: 2, minor: 0 }), &[]),
        (
            "no policies",
            |facts| {
                facts.admission_resources = Ok(vec!["mutatingwebhookconfigurations".to_owned()]);
            },
            &[("KS727", Level::Failed)],
        ),
        (
            "ours, by an upgrade",
            |facts| {
                facts.configurations =
                    Ok(vec![configuration("keysluice", "pods.keysluice.dev", "keysluice-system")]);
            },
            &[],
        ),
        (
            "of our name, elsewhere",
            |facts| {
                facts.configurations =
                    Ok(vec![configuration("keysluice", "pods.keysluice.dev", "other")]);
            },
            &[("KS729", Level::Failed)],
        ),
        (
            "of another name",
            |facts| {
                facts.configurations = Ok(vec![configuration(
                    "sluice",
                    "csi-volumes.keysluice.dev",
                    "keysluice-system",
                )]);
            },
            &[("KS729", Level::Failed)],
        ),
        (
            "the predecessor",
            |facts| {
                let name = "azure-wi-webhook-mutating-webhook-configuration";
                facts.configurations =
                    Ok(vec![configuration(name, super::AZURE_WORKLOAD_IDENTITY, "kube-system")]);
            },
            &[("KS732", Level::Warning)],
        ),
        ("pull secrets", |facts| facts.pull_secrets = true, &[("KS733", Level::Warning)]),
        (
            "no image",
            |facts| facts.injector = Some(Ok(injector(waiting("ImagePullBackOff")))),
            &[("KS730", Level::Failed)],
        ),
        (
            "slow image",
            |facts| facts.injector = Some(Ok(injector(State::Pending))),
            &[("KS730", Level::Failed)],
        ),
        (
            "another program",
            |facts| {
                facts.injector = Some(Ok(injector(State::Ended {
                    exit_code: 128,
                    message: "exec format error".to_owned(),
                })));
            },
            &[("KS731", Level::Failed)],
        ),
        ("no pod to look at", |facts| facts.injector = None, &[]),
    ];
    for (name, change, expected) in cases {
        let mut facts = healthy();
        change(&mut facts);
        let findings = pre(&facts);
        let found: Vec<_> =
            findings.iter().filter_map(|one| Some((one.code?, one.level))).collect();
        assert_eq!(found, expected, "{name}: {findings:?}");
        assert_eq!(
            failed(&findings),
            expected.iter().any(|(_, level)| *level == Level::Failed),
            "{name}"
        );
    }
    let mut facts = healthy();
    let guards = ["keysluice-guard-sidecar", "sluice-guard-sidecar"].map(|name| Policy {
        name: name.to_owned(),
        messages: vec!["KS721 the container".to_owned()],
    });
    facts.policies = Ok(guards.into());
    let findings = pre(&facts);
    assert_eq!(findings.iter().filter(|one| one.code == Some("KS729")).count(), 1, "{findings:?}");
    facts.policies = Err(forbidden());
    facts.configurations = Err(forbidden());
    let findings = pre(&facts);
    assert_eq!(findings.iter().filter(|one| one.code == Some("KS728")).count(), 2, "{findings:?}");
}

#[test]
fn what_the_kubelet_says_of_a_container_is_read() {
    for (state, expected) in [
        (json!({}), State::Pending),
        (json!({"running": {}}), State::Pending),
        (json!({"waiting": {"reason": "ContainerCreating"}}), State::Pending),
        (
            json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}),
            waiting("ErrImagePull"),
        ),
        (
            json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
            State::Ended { exit_code: 0, message: String::new() },
        ),
    ] {
        let pod = json!({"spec": {"containers": [{"name": "doctor", "image": "a"},
            {"name": "injector", "image": "b"}]},
            "status": {"containerStatuses": [{"name": "injector", "state": state}]}});
        let read = Container::read(&pod, "injector");
        assert_eq!(read, Container { image: "b".to_owned(), state: expected });
    }
    assert!(waiting("InvalidImageName").is_final() && !waiting("ErrImagePull").is_final());
    assert_eq!(
        Version::read(&json!({"major": "1", "minor": "30+"})),
        Some(Version { major: 1, minor: 30 })
    );
    assert_eq!(Version::read(&json!({"major": "1"})), None);
}

/// Our configuration, with this metadata besides its name.
fn installed(metadata: &serde_json::Value) -> Configuration {
    let mut configuration = json!({"metadata": metadata, "webhooks": [
        {"name": "pods.keysluice.dev", "clientConfig": {"service": {
            "namespace": "keysluice-system"}}}]});
    configuration["metadata"]["name"] = "keysluice".into();
    Configuration::read(&configuration)
}

#[test]
fn what_the_enforcer_of_aks_does_is_seen_by_its_marks() {
    let changed =
        json!({"managedFields": [{"manager": "helm"}, {"manager": "admissionsenforcer"}]});
    let disabled = json!({"admissions.enforcer/disabled": "true"});
    let not_disabled = json!({"admissions.enforcer/disabled": "false"});
    let other = Configuration {
        name: "other".to_owned(),
        entries: vec!["x".to_owned()],
        ..installed(&changed)
    };
    for (configurations, level) in [
        (vec![installed(&json!({}))], None),
        (vec![installed(&changed)], Some(Level::Warning)),
        (vec![installed(&json!({"annotations": disabled})), other.clone()], Some(Level::Good)),
        (vec![installed(&json!({"labels": disabled}))], Some(Level::Good)),
        (vec![other], Some(Level::Good)),
        (vec![installed(&json!({"annotations": not_disabled}))], None),
    ] {
        let mut facts = healthy();
        facts.configurations = Ok(configurations.clone());
        let findings = pre(&facts);
        let found = findings.iter().find(|one| one.check == "aks-enforcer");
        assert_eq!(found.map(|one| one.level), level, "{configurations:?}");
        let code = (level == Some(Level::Warning)).then_some("KS819");
        assert_eq!(found.and_then(|one| one.code), code);
    }
}
