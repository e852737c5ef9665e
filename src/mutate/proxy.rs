//! The proxy of the sidecar: the annotations of the pod, else the operator's settings.

use super::annotations::Annotations;
use crate::settings::{NO_PROXY, Settings};

/// Variables of the sidecar, as the API expands them.
pub(super) fn variables(
    annotations: &Annotations,
    settings: &Settings,
) -> Vec<(&'static str, String)> {
    let proxy = annotations.https_proxy.as_ref().or(settings.https_proxy.as_ref());
    let Some(proxy) = proxy.filter(|proxy| *proxy != NO_PROXY) else { return Vec::new() };
    let exceptions = annotations.no_proxy.as_ref().or(settings.no_proxy.as_ref());
    let exceptions = exceptions.filter(|list| !list.is_empty()).map(|list| ("NO_PROXY", list));
    let all = [("HTTPS_PROXY", proxy)].into_iter().chain(exceptions);
    all.map(|(name, value)| (name, value.replace('$', "$$"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::testing::{facts, pod_with_volume, run_with, settings};
    use serde_json::{Value, json};

    /// The variables of the sidecar beside its Plan and its uid, with these annotations.
    fn given(annotations: &Value, settings: &Settings) -> Result<Vec<Value>, String> {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] = annotations.clone();
        let (pod, _) = run_with(&pod, settings, &facts())?;
        let (again, _) = run_with(&pod, settings, &facts())?;
        assert_eq!(pod, again, "a second run changes nothing");
        Ok(pod["spec"]["initContainers"][0]["env"].as_array().unwrap()[2..].to_vec())
    }

    #[test]
    fn the_annotations_go_before_the_operators_settings() {
        let none = settings();
        let operators = Settings {
            https_proxy: Some("http://proxy.corp:3128".to_owned()),
            no_proxy: Some("10.0.0.0/8,*.corp".to_owned()),
            ..settings()
        };
        for (annotations, settings, expected) in [
            (json!({}), &none, &[][..]),
            (json!({"keysluice.dev/no-proxy": "x"}), &none, &[]),
            (
                json!({"keysluice.dev/https-proxy": "proxy.pod:3128"}),
                &none,
                &[("HTTPS_PROXY", "proxy.pod:3128")],
            ),
            (
                json!({}),
                &operators,
                &[("HTTPS_PROXY", "http://proxy.corp:3128"), ("NO_PROXY", "10.0.0.0/8,*.corp")],
            ),
            (
                json!({"keysluice.dev/https-proxy": "http://u:p$(A)@[2001:db8::1]:3128/",
                    "keysluice.dev/no-proxy": "vault.azure.net:443"}),
                &operators,
                &[
                    ("HTTPS_PROXY", "http://u:p$$(A)@[2001:db8::1]:3128/"),
                    ("NO_PROXY", "vault.azure.net:443"),
                ],
            ),
            (json!({"keysluice.dev/https-proxy": "none"}), &operators, &[]),
            (
                json!({"keysluice.dev/no-proxy": ""}),
                &operators,
                &[("HTTPS_PROXY", "http://proxy.corp:3128")],
            ),
        ] {
            let expected =
                expected.iter().map(|(name, value)| json!({"name": name, "value": value}));
            let expected: Vec<Value> = expected.collect();
            assert_eq!(given(&annotations, settings).unwrap(), expected, "{annotations}");
        }
    }

    #[test]
    fn what_is_not_a_proxy_is_refused_without_its_password() {
        for value in [
            "",
            "socks5://proxy:1080",
            "http://",
            "http://proxy:port",
            "http://proxy:0",
            "http://proxy:70000",
            "http://proxy/path",
            "http://[::1",
            "http://[x]:1",
            "http://u:canary@pro xy:1",
            "a:b:c",
        ] {
            let annotations = json!({"keysluice.dev/https-proxy": value});
            let error = given(&annotations, &settings()).unwrap_err();
            assert!(error.starts_with("KS209 annotation keysluice.dev/https-proxy"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let many = json!({"keysluice.dev/no-proxy": "a,".repeat(3000)});
        assert!(given(&many, &settings()).unwrap_err().starts_with("KS209"));
    }
}
