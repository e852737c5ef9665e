//! A Plan with more than the identities of its volumes, whose token mount the other webhook moved.

use super::{V1_6_0, V1_6_1};
use crate::suite::conformance::cases::{annotated, app};
use crate::suite::support::reviews::{Reviewer, csi_pod, labelled};
use keysluice::settings::{Authorities, LivePlans};
use keysluice_plan::{Credential, Plan};

/// The endpoint and what the Plan is made of again follow too.
#[test]
fn every_token_path_of_a_plan_follows_the_mount_that_the_other_moved() {
    let mut reviewer = Reviewer::new();
    reviewer.settings.token_layout = "v1.6.0".parse().unwrap();
    let authorities = Authorities::default();
    authorities.store("PEM".to_owned());
    let url = "https://keysluice.ns.svc:9444".to_owned();
    reviewer.settings.live_plans = Some(LivePlans { url, authorities });
    let endpoint = "keysluice.dev/managed-identity-endpoint";
    for pod in
        [annotated(labelled(app()), endpoint, "true"), annotated(csi_pod(), endpoint, "true")]
    {
        let moved = V1_6_1.mutate(&reviewer.allowed(&pod));
        let after = reviewer.allowed(&moved);
        let sidecar = &after["spec"]["initContainers"][0];
        let text = sidecar["env"][0]["value"].as_str().unwrap().replace("$$", "$");
        assert!(!text.contains(&format!("{}/{}", V1_6_0.mount, V1_6_0.token)), "{text}");
        let plan = Plan::from_json(&text).unwrap();
        let file = format!("{}/{}", V1_6_1.mount, V1_6_1.token);
        let of_endpoint = &plan.managed_identity.unwrap().identities[0].credential;
        assert!(
            matches!(of_endpoint, Credential::Federated { token_file, .. } if *token_file == file)
        );
        if let Some(source) = plan.source {
            assert_eq!(source.basis["tokenFile"], file);
        }
        assert_eq!(reviewer.allowed(&after), after);
    }
}
