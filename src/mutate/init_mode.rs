//! Annotations that an init container which fetches once does not follow.

use super::mutation::Mutation;
use crate::pod::Pod;
use crate::reason;

const WITHOUT_EFFECT: [(&str, Option<&str>, &str); 3] = [
    ("keysluice.dev/gate", None, "the application waits for each init container"),
    (
        "keysluice.dev/on-missing",
        Some("wait"),
        "the init container ends when an object is missing, and the kubelet starts it again unless \
         restartPolicy is Never",
    ),
    ("keysluice.dev/refresh-interval", None, "nothing is fetched later"),
];

/// Warns of each that the pod has.
pub(super) fn warn(pod: &Pod<'_>, mutation: &mut Mutation) {
    for (key, only, why) in WITHOUT_EFFECT {
        let value = pod.metadata.annotations.find(key);
        let Some(value) = value.filter(|value| only.is_none_or(|only| only == *value)) else {
            continue;
        };
        mutation.warn(format_args!(
            "{} annotation {key}: {value} has no effect with the mode init: {why}; hint: {}",
            reason::KS292,
            reason::KS292.fix
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{facts, labelled, run_with, settings};
    use serde_json::json;

    #[test]
    fn an_annotation_that_fetching_once_does_not_follow_is_a_warning() {
        for (key, value, mode, expected) in [
            ("gate", "probe", "init", Some("gate: probe has no effect with the mode init: the")),
            ("on-missing", "wait", "init", Some("on-missing: wait has no effect with the mode")),
            ("on-missing", "fail", "init", None),
            ("refresh-interval", "30s", "init", Some("refresh-interval: 30s has no effect")),
            ("refresh-interval", "30s", "sidecar", None),
        ] {
            let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
            pod["metadata"]["annotations"] = json!({
                "keysluice.dev/file.a": "kv://vault-1/secrets/a",
                "keysluice.dev/mode": mode,
            });
            pod["metadata"]["annotations"][format!("keysluice.dev/{key}")] = json!(value);
            let (_, mutation) = run_with(&pod, &settings(), &facts()).unwrap();
            let expected =
                expected.map(|text| format!("KS292 annotation keysluice.dev/{text}")).into_iter();
            assert_eq!(mutation.warnings.len(), expected.len(), "{key} {mode}: {mutation:?}");
            let mut pairs = mutation.warnings.iter().zip(expected);
            assert!(pairs.all(|(warning, expected)| warning.starts_with(&expected)), "{key}");
        }
    }
}
