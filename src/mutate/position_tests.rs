use super::super::testing::{csi_volume, facts, labelled, native_sidecar, run_with, settings};
use serde_json::{Value, json};

/// Position of the sidecar in a pod with these init containers, containers and annotations; or the
/// refusal.
fn position(init: &Value, containers: &Value, annotations: &Value) -> Result<usize, String> {
    let spec = json!({"initContainers": init, "containers": containers,
        "volumes": [csi_volume("secrets", "kv")]});
    let mut pod = labelled("pod", spec);
    pod["metadata"]["annotations"] = annotations.clone();
    let (pod, _) = run_with(&pod, &settings(), &facts())?;
    Ok(place(&pod))
}

fn place(pod: &Value) -> usize {
    let init = pod["spec"]["initContainers"].as_array().unwrap();
    init.iter().position(|container| container["name"] == "keysluice").unwrap()
}

fn app_and(proxy: &str) -> Value {
    json!([{"name": "app"}, {"name": proxy}])
}

fn deadlock(proxy: &str) -> Result<usize, String> {
    Err(format!("KS212 container {proxy:?}"))
}

fn start_of(result: Result<usize, String>) -> Result<usize, String> {
    result.map_err(|error| error.split(" carries").next().unwrap_or_default().to_owned())
}

#[test]
fn first_but_behind_a_native_mesh_proxy() {
    let app = json!([{"name": "app"}]);
    for (init, expected) in [
        (json!(null), 0),
        (json!([{"name": "a"}]), 0),
        (json!([{"name": "istio-init"}, native_sidecar("istio-proxy"), {"name": "b"}]), 2),
        (json!([{"name": "osm-init"}, native_sidecar("envoy"), {"name": "b"}]), 2),
        (json!([{"name": "a"}, native_sidecar("envoy")]), 0),
        (
            json!([{"name": "consul-connect-inject-init"}, native_sidecar("consul-dataplane"),
                {"name": "a"}]),
            2,
        ),
        // The redirect that a CNI plugin makes does not matter behind the proxy.
        (json!([{"name": "istio-validation"}, native_sidecar("istio-proxy")]), 2),
    ] {
        assert_eq!(position(&init, &app, &json!({})), Ok(expected), "{init}");
    }
}

#[test]
fn the_after_annotation_decides() {
    let init = json!([{"name": "a"}, {"name": "vpn", "restartPolicy": "Always"}]);
    let app = json!([{"name": "app"}]);
    assert_eq!(position(&init, &app, &json!({"keysluice.dev/after": "vpn"})), Ok(2));
    assert!(
        position(&init, &app, &json!({"keysluice.dev/after": "a"}))
            .unwrap_err()
            .starts_with("KS211")
    );
    let behind = json!([{"name": "istio-init"}, {"name": "vpn", "restartPolicy": "Always"}]);
    let after = position(&behind, &app_and("istio-proxy"), &json!({"keysluice.dev/after": "vpn"}));
    assert_eq!(start_of(after), deadlock("istio-proxy"));
}

#[test]
fn a_redirect_behind_the_sidecar_captures_nothing_of_its_start() {
    for (redirect, proxy) in [
        ("istio-init", "istio-proxy"),
        ("linkerd-init", "linkerd-proxy"),
        ("kuma-init", "kuma-sidecar"),
        ("consul-connect-inject-init", "consul-dataplane"),
        ("osm-init", "envoy"),
        ("proxyinit", "envoy"),
    ] {
        for init in [json!([{"name": "migrate"}, {"name": redirect}]), json!([{"name": redirect}])]
        {
            assert_eq!(position(&init, &app_and(proxy), &json!({})), Ok(0), "{init}");
        }
    }
    assert_eq!(position(&json!(null), &app_and("istio-proxy"), &json!({})), Ok(0));
}

#[test]
fn what_a_cni_plugin_captures_is_captured_from_the_start() {
    for (validator, proxy) in [
        ("istio-validation", "istio-proxy"),
        ("linkerd-network-validator", "linkerd-proxy"),
        ("kuma-validation", "kuma-sidecar"),
    ] {
        let init = json!([{"name": "migrate"}, {"name": validator}]);
        assert_eq!(start_of(position(&init, &app_and(proxy), &json!({}))), deadlock(proxy));
        assert_eq!(position(&init, &app_and(proxy), &json!({"keysluice.dev/gate": "none"})), Ok(0));
        // Another mesh's proxy, or none: nothing to wait for.
        assert_eq!(position(&init, &app_and("envoy"), &json!({})), Ok(0));
    }
    for (key, value, proxy) in [
        ("k8s.v1.cni.cncf.io/networks", "default/istio-cni", "istio-proxy"),
        ("k8s.v1.cni.cncf.io/networks", "kuma-cni", "kuma-sidecar"),
        ("consul.hashicorp.com/cni-proxy-config", "{}", "consul-dataplane-web"),
    ] {
        assert_eq!(
            start_of(position(&json!([]), &app_and(proxy), &json!({key: value}))),
            deadlock(proxy)
        );
        assert_eq!(position(&json!([]), &json!([{"name": "app"}]), &json!({key: value})), Ok(0));
    }
}

#[test]
fn an_exclusion_counts_where_it_frees_what_the_sidecar_needs() {
    let istio = ("istio-validation", "istio-proxy");
    let linkerd = ("linkerd-network-validator", "linkerd-proxy");
    let kuma = ("kuma-validation", "kuma-sidecar");
    for ((validator, proxy), annotations, is_free) in [
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundPorts": "443"}), true),
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundPorts": "3306, 443"}), true),
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundPorts": "3306"}), false),
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundPorts": "4433,1443"}), false),
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundPorts": ""}), false),
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundIPRanges": "0.0.0.0/0"}), true),
        (
            istio,
            json!({"traffic.sidecar.istio.io/excludeOutboundIPRanges":
                "20.190.128.0/18,40.126.0.0/18"}),
            true,
        ),
        (
            istio,
            json!({"traffic.sidecar.istio.io/excludeOutboundIPRanges": "169.254.169.254/32"}),
            false,
        ),
        // A private endpoint of the vault, but Entra has none.
        (istio, json!({"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.1.0.0/16"}), false),
        (istio, json!({"traffic.sidecar.istio.io/includeOutboundIPRanges": ""}), true),
        (istio, json!({"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8"}), false),
        (istio, json!({"traffic.sidecar.istio.io/includeOutboundIPRanges": "*"}), false),
        (
            istio,
            json!({"traffic.sidecar.istio.io/includeOutboundIPRanges": "",
                "traffic.sidecar.istio.io/includeOutboundPorts": "443"}),
            false,
        ),
        (istio, json!({"traffic.sidecar.istio.io/includeOutboundPorts": "8080"}), false),
        (istio, json!({"sidecar.istio.io/interceptionMode": "NONE"}), true),
        (istio, json!({"config.linkerd.io/skip-outbound-ports": "443"}), false),
        (linkerd, json!({"config.linkerd.io/skip-outbound-ports": "440-450"}), true),
        (linkerd, json!({"config.linkerd.io/skip-outbound-ports": "1-80,444-450"}), false),
        (linkerd, json!({"config.linkerd.io/skip-subnets": "0.0.0.0/0"}), true),
        (kuma, json!({"traffic.kuma.io/exclude-outbound-ports": "443"}), true),
        (kuma, json!({"traffic.kuma.io/exclude-outbound-ports": "8443"}), false),
        (
            kuma,
            json!({"traffic.kuma.io/exclude-outbound-ports-for-uids": "tcp:440-450:65532"}),
            true,
        ),
        (kuma, json!({"traffic.kuma.io/exclude-outbound-tcp-ports-for-uids": "9000:65532"}), false),
    ] {
        let expected = if is_free { Ok(0) } else { deadlock(proxy) };
        let init = json!([{"name": validator}]);
        assert_eq!(
            start_of(position(&init, &app_and(proxy), &annotations)),
            expected,
            "{annotations}"
        );
    }
    for (key, value, is_free) in [
        ("consul.hashicorp.com/transparent-proxy-exclude-uids", "65532", true),
        ("consul.hashicorp.com/transparent-proxy-exclude-uids", "1000", false),
        ("consul.hashicorp.com/transparent-proxy", "false", true),
    ] {
        let annotations = json!({"consul.hashicorp.com/cni-proxy-config": "{}", key: value});
        let placed = position(&json!([]), &app_and("consul-dataplane"), &annotations);
        assert_eq!(placed.is_ok(), is_free, "{annotations}");
    }
}

#[test]
fn a_redirect_that_a_mesh_puts_in_front_later_is_refused_by_the_second_run() {
    let spec = json!({"containers": [{"name": "app"}], "volumes": [csi_volume("secrets", "kv")]});
    let (first, _) = run_with(&labelled("pod", spec), &settings(), &facts()).unwrap();
    for (at, init, proxy, refused) in [
        (0, json!({"name": "kuma-init"}), json!({"name": "kuma-sidecar"}), true),
        (1, json!({"name": "istio-init"}), json!({"name": "istio-proxy"}), false),
        (1, json!({"name": "istio-validation"}), json!({"name": "istio-proxy"}), true),
        (0, json!({"name": "istio-init"}), json!({"name": "other"}), false),
    ] {
        let mut pod = first.clone();
        pod["spec"]["initContainers"].as_array_mut().unwrap().insert(at, init.clone());
        pod["spec"]["containers"].as_array_mut().unwrap().push(proxy);
        let second = run_with(&pod, &settings(), &facts());
        assert_eq!(second.is_err(), refused, "{init}");
        assert!(second.err().is_none_or(|error| error.starts_with("KS212")));
    }
    let mut pod = first;
    let init = pod["spec"]["initContainers"].as_array_mut().unwrap();
    init.insert(0, json!({"name": "istio-init"}));
    init.push(json!({"name": "istio-proxy", "restartPolicy": "Always"}));
    assert!(
        run_with(&pod, &settings(), &facts()).unwrap_err().starts_with("KS212"),
        "its proxy waits for the gate"
    );
    pod["spec"]["initContainers"].as_array_mut().unwrap().swap(1, 2);
    assert!(run_with(&pod, &settings(), &facts()).is_ok());
}

#[test]
fn the_ports_of_the_operators_cloud_are_those_that_count() {
    let cloud = crate::cloud::Cloud::from_json(
        r#"{"name":"Private","activeDirectoryEndpoint":"https://login.test:8443",
            "keyVaultEndpoint":"https://vault.test/","keyVaultDNSSuffix":"vault.test:9443"}"#,
    );
    let settings = crate::settings::Settings {
        tenant_id: Some("t".into()),
        ..crate::settings::Settings::new(cloud.unwrap())
    };
    for (ports, is_free) in [("443", false), ("8443", false), ("8443,9443", true)] {
        let mut pod = labelled(
            "pod",
            json!({"initContainers": [{"name": "istio-validation"}],
                "containers": app_and("istio-proxy"),
                "volumes": [csi_volume("secrets", "kv")]}),
        );
        pod["metadata"]["annotations"] =
            json!({"traffic.sidecar.istio.io/excludeOutboundPorts": ports});
        assert_eq!(run_with(&pod, &settings, &facts()).is_ok(), is_free, "{ports}");
    }
}
