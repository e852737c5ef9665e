//! Every daemon of the enclosure: its command line and the files that configure it.

use crate::layout::{
    ADMIN_TOKEN, API_PORT, ISSUER, Layout, NODE, NODE_ADDRESS, POD_RANGE, REGISTRY_PORT,
    SERVICE_RANGE,
};
use crate::network::BRIDGE;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

/// A process that the supervisor keeps alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Name of its log, and of its component.
    pub name: &'static str,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// What the API server cannot do without.
pub fn first(layout: &Layout) -> Vec<Daemon> {
    let etcd = component(
        layout,
        "etcd",
        &[
            ("data-dir", layout.text("etcd")),
            // What is stored lives as long as the enclosure.
            ("unsafe-no-fsync", "true".to_owned()),
            ("log-level", "warn".to_owned()),
        ],
    );
    let containerd = Daemon {
        name: "containerd",
        command: vec![
            "containerd".to_owned(),
            "--config".to_owned(),
            layout.text("containerd.toml"),
        ],
    };
    vec![etcd, containerd, api_server(layout)]
}

/// What needs the API server.
pub fn second(layout: &Layout) -> Vec<Daemon> {
    let controllers = component(
        layout,
        "kube-controller-manager",
        &[
            ("kubeconfig", kubeconfig(layout, "kube-controller-manager")),
            ("controllers", "*,-nodeipam".to_owned()),
            ("use-service-account-credentials", "true".to_owned()),
            ("service-account-private-key-file", layout.text("service-account.key")),
            ("root-ca-file", layout.authority().display().to_string()),
            // With the defaults a namespace waits five seconds for its ServiceAccount.
            ("kube-api-qps", "500".to_owned()),
            ("kube-api-burst", "1000".to_owned()),
            ("leader-elect", "false".to_owned()),
            ("bind-address", "127.0.0.1".to_owned()),
        ],
    );
    let scheduler = component(
        layout,
        "kube-scheduler",
        &[
            ("kubeconfig", kubeconfig(layout, "kube-scheduler")),
            ("kube-api-qps", "500".to_owned()),
            ("kube-api-burst", "1000".to_owned()),
            ("leader-elect", "false".to_owned()),
            ("bind-address", "127.0.0.1".to_owned()),
        ],
    );
    let proxy = component(
        layout,
        "kube-proxy",
        &[
            ("kubeconfig", kubeconfig(layout, "kube-proxy")),
            ("hostname-override", NODE.to_owned()),
            ("proxy-mode", "nftables".to_owned()),
            ("cluster-cidr", POD_RANGE.to_owned()),
            // These would write sysctls that belong to the whole machine.
            ("conntrack-max-per-core", "0".to_owned()),
            ("conntrack-tcp-timeout-established", "0".to_owned()),
            ("conntrack-tcp-timeout-close-wait", "0".to_owned()),
        ],
    );
    let kubelet = component(
        layout,
        "kubelet",
        &[
            ("config", layout.text("kubelet.json")),
            ("kubeconfig", kubeconfig(layout, "kubelet")),
            ("root-dir", layout.text("kubelet")),
            ("cert-dir", layout.text("kubelet-certificates")),
            ("hostname-override", NODE.to_owned()),
            ("node-ip", NODE_ADDRESS.to_owned()),
        ],
    );
    vec![controllers, scheduler, proxy, kubelet]
}

fn api_server(layout: &Layout) -> Daemon {
    component(
        layout,
        "kube-apiserver",
        &[
            ("etcd-servers", "http://127.0.0.1:2379".to_owned()),
            ("advertise-address", NODE_ADDRESS.to_owned()),
            ("secure-port", API_PORT.to_string()),
            ("cert-dir", layout.text("certificates")),
            ("service-account-issuer", ISSUER.to_owned()),
            ("service-account-key-file", layout.text("service-account.pub")),
            ("service-account-signing-key-file", layout.text("service-account.key")),
            ("token-auth-file", layout.text("tokens.csv")),
            ("authorization-mode", "Node,RBAC".to_owned()),
            ("enable-admission-plugins", "NodeRestriction".to_owned()),
            ("service-cluster-ip-range", SERVICE_RANGE.to_owned()),
            ("kubelet-preferred-address-types", "InternalIP".to_owned()),
            ("allow-privileged", "true".to_owned()),
        ],
    )
}

fn component(layout: &Layout, name: &'static str, flags: &[(&str, String)]) -> Daemon {
    let mut command = vec![layout.components().display().to_string(), name.to_owned()];
    command.extend(flags.iter().map(|(flag, value)| format!("--{flag}={value}")));
    Daemon { name, command }
}

fn kubeconfig(layout: &Layout, user: &str) -> String {
    layout.text(&format!("{user}.kubeconfig"))
}

/// Users with the names and groups that Kubernetes' own roles are bound to. Each one's token is its
/// name.
const USERS: &[(&str, &str, &str)] = &[
    (ADMIN_TOKEN, "admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("kubelet", "system:node:node", "system:nodes"),
];

/// Writes every file that a daemon reads at its start.
pub fn configure(layout: &Layout) -> anyhow::Result<()> {
    for directory in ["logs", "hold", "pids", "cni", "certs.d/docker.io", "images", "run"] {
        std::fs::create_dir_all(layout.path(directory)).with_context(|| layout.text(directory))?;
    }
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
    let mut tokens = String::new();
    for (token, user, group) in USERS {
        tokens.push_str(&format!("{token},{user},{user},\"{group}\"\n"));
        let server = format!("https://{NODE_ADDRESS}:{API_PORT}");
        let config = json!({
            "kind": "Config", "apiVersion": "v1", "current-context": "enclosure",
            "clusters": [{"name": "enclosure",
                "cluster": {"server": server, "certificate-authority": layout.authority()}}],
            "contexts": [{"name": "enclosure", "context": {"cluster": "enclosure", "user": user}}],
            "users": [{"name": user, "user": {"token": token}}],
        });
        write(&layout.path(&format!("{token}.kubeconfig")), &config.to_string())?;
    }
    let registry = format!("http://127.0.0.1:{REGISTRY_PORT}");
    let mirror = format!(
        "server = \"{registry}\"\n[host.\"{registry}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    for (name, text) in [
        ("tokens.csv", tokens),
        ("service-account.key", key.serialize_pem()),
        ("service-account.pub", key.public_key_pem()),
        ("containerd.toml", containerd(layout)),
        ("certs.d/docker.io/hosts.toml", mirror),
        ("cni/pods.conflist", cni(layout).to_string()),
        ("kubelet.json", kubelet(layout).to_string()),
        ("resolv.conf", format!("nameserver {NODE_ADDRESS}\n")),
    ] {
        write(&layout.path(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn containerd(layout: &Layout) -> String {
    let (root, run, cni, mirrors) =
        (layout.text("containerd"), layout.text("run"), layout.text("cni"), layout.text("certs.d"));
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox would fail.
    // enable_unprivileged_ports: the stricter of its two values, which containerd 1 has by default.
    format!(
        r#"version = 2
root = "{root}"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{run}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
enable_unprivileged_ports = false
enable_unprivileged_icmp = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{mirrors}"
"#
    )
}

/// The image of every pod's sandbox.
pub const PAUSE: &str = "registry.test/pause:1";

fn cni(layout: &Layout) -> Value {
    json!({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": BRIDGE, "isDefaultGateway": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "dataDir": layout.path("addresses"), "ranges": [[
                {"subnet": POD_RANGE, "rangeStart": "10.88.1.0", "gateway": NODE_ADDRESS},
            ]]},
        }],
    })
}

fn kubelet(layout: &Layout) -> Value {
    json!({
        "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": format!("unix://{}", layout.text("run/containerd.sock")),
        "failCgroupV1": false, "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.cgroup()),
        "enforceNodeAllocatable": ["pods"], "failSwapOn": false,
        "clusterDNS": [NODE_ADDRESS], "clusterDomain": "cluster.local",
        "resolvConf": layout.path("resolv.conf"),
        "makeIPTablesUtilChains": false, "healthzPort": 0, "podLogsDir": layout.path("pod-logs"),
        // An image that was loaded counts as pulled once another name of it was: pods would have to
        // pull it again.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        // The machine's disk and memory are not ours to tidy.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "maxPods": 400, "kubeAPIQPS": 500, "kubeAPIBurst": 1000, "eventRecordQPS": 0,
        "serializeImagePulls": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_below_the_enclosures_directory() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("one"));
        std::fs::create_dir(layout.root()).unwrap();
        configure(&layout).unwrap();
        let all: Vec<Daemon> = first(&layout).into_iter().chain(second(&layout)).collect();
        let root = layout.root().display().to_string();
        for daemon in &all {
            for argument in daemon.command.iter().filter(|argument| argument.contains("=/")) {
                assert!(argument.contains(&root), "{}: {argument}", daemon.name);
            }
        }
        for (token, ..) in USERS {
            let path = layout.path(&format!("{token}.kubeconfig"));
            let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert_eq!(config["users"][0]["user"]["token"], *token);
        }
        assert!(containerd(&layout).contains(&format!("root = \"{root}/containerd\"")));
        assert_eq!(kubelet(&layout)["cgroupRoot"], "/one");
    }
}
