//! Service meshes: whether a pod's traffic is captured before a container starts, while the proxy
//! that carries it starts later.
//!
//! An init container redirects the traffic of what starts after it; a CNI plugin redirects that of
//! the whole pod, and leaves a container that checks it, or an annotation. What starts before the
//! redirect has network, and so has what starts after the proxy.

use crate::pod::{Container, Pod};
use keysluice_plan::{Credential, Plan};
use std::net::Ipv4Addr;

/// One mesh: the names of its containers and annotations. A name that ends in `*` is a prefix.
struct Mesh {
    proxies: &'static [&'static str],
    /// Init containers that redirect the pod's traffic to the proxy.
    redirects: &'static [&'static str],
    /// Init containers that check what a CNI plugin has redirected.
    validators: &'static [&'static str],
    /// Its CNI plugin, as Multus is told of it.
    network: &'static str,
    /// Annotation of a pod that its CNI plugin redirects.
    redirected: &'static str,
    excluded_ports: &'static [&'static str],
    /// Ports that are captured wherever they lead.
    included_ports: &'static str,
    excluded_ranges: &'static [&'static str],
    /// The only addresses whose traffic is captured.
    included_ranges: &'static str,
    /// Users whose traffic is not captured.
    excluded_uids: &'static str,
    /// Annotation and value by which nothing is captured.
    off: (&'static str, &'static str),
}

const NONE: Mesh = Mesh {
    proxies: &[],
    redirects: &[],
    validators: &[],
    network: "",
    redirected: "",
    excluded_ports: &[],
    included_ports: "",
    excluded_ranges: &[],
    included_ranges: "",
    excluded_uids: "",
    off: ("", ""),
};

const MESHES: &[Mesh] = &[
    Mesh {
        proxies: &["istio-proxy"],
        redirects: &["istio-init"],
        validators: &["istio-validation"],
        network: "istio-cni",
        excluded_ports: &["traffic.sidecar.istio.io/excludeOutboundPorts"],
        included_ports: "traffic.sidecar.istio.io/includeOutboundPorts",
        excluded_ranges: &["traffic.sidecar.istio.io/excludeOutboundIPRanges"],
        included_ranges: "traffic.sidecar.istio.io/includeOutboundIPRanges",
        off: ("sidecar.istio.io/interceptionMode", "NONE"),
        ..NONE
    },
    Mesh {
        proxies: &["linkerd-proxy"],
        redirects: &["linkerd-init"],
        validators: &["linkerd-network-validator"],
        network: "linkerd-cni",
        excluded_ports: &["config.linkerd.io/skip-outbound-ports"],
        excluded_ranges: &["config.linkerd.io/skip-subnets"],
        ..NONE
    },
    Mesh {
        proxies: &["kuma-sidecar"],
        redirects: &["kuma-init"],
        validators: &["kuma-validation"],
        network: "kuma-cni",
        excluded_ports: &[
            "traffic.kuma.io/exclude-outbound-ports",
            "traffic.kuma.io/exclude-outbound-ports-for-uids",
            "traffic.kuma.io/exclude-outbound-tcp-ports-for-uids",
        ],
        excluded_ranges: &["traffic.kuma.io/exclude-outbound-ips"],
        off: ("kuma.io/transparent-proxying", "disabled"),
        ..NONE
    },
    Mesh {
        proxies: &["consul-dataplane*", "consul-connect-envoy-sidecar*", "envoy-sidecar*"],
        redirects: &["consul-connect-inject-init*"],
        network: "consul-cni",
        redirected: "consul.hashicorp.com/cni-proxy-config",
        excluded_ports: &["consul.hashicorp.com/transparent-proxy-exclude-outbound-ports"],
        excluded_ranges: &["consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs"],
        excluded_uids: "consul.hashicorp.com/transparent-proxy-exclude-uids",
        off: ("consul.hashicorp.com/transparent-proxy", "false"),
        ..NONE
    },
    // Open Service Mesh.
    Mesh {
        proxies: &["envoy"],
        redirects: &["osm-init"],
        excluded_ports: &["openservicemesh.io/outbound-port-exclusion-list"],
        excluded_ranges: &["openservicemesh.io/outbound-ip-range-exclusion-list"],
        included_ranges: "openservicemesh.io/outbound-ip-range-inclusion-list",
        ..NONE
    },
    // AWS App Mesh.
    Mesh {
        proxies: &["envoy"],
        redirects: &["proxyinit"],
        excluded_ports: &["appmesh.k8s.aws/egressIgnoredPorts"],
        excluded_ranges: &["appmesh.k8s.aws/egressIgnoredIPs"],
        ..NONE
    },
    Mesh {
        proxies: &["nginx-mesh-sidecar"],
        redirects: &["nginx-mesh-init"],
        excluded_ports: &[
            "config.nsm.nginx.com/ignore-outgoing-ports",
            "nsm.nginx.com/ignore-outgoing-ports",
        ],
        ..NONE
    },
];

/// Which networks Multus attaches a pod to.
const NETWORKS_ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";
const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Loopback and link-local ranges: address and prefix length.
const LOCAL: [([u8; 4], u32); 2] = [([127, 0, 0, 0], 8), ([169, 254, 0, 0], 16)];
/// Private ranges and that of carrier-grade NAT.
const PRIVATE: [([u8; 4], u32); 4] =
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)];

/// Where the sidecar connects to before the application starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    port: u16,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Entra: public addresses.
    Authority,
    /// Public addresses, or a private endpoint.
    Vault,
    /// The managed-identity endpoint of the node.
    Metadata,
}

impl Destination {
    pub(super) fn of_plan(plan: &Plan) -> Vec<Self> {
        let of_identity = plan.identities.iter().map(|identity| match &identity.credential {
            Credential::Federated { authority, .. }
            | Credential::ServicePrincipal { authority, .. } => {
                Self { port: port_of(authority), kind: Kind::Authority }
            }
            Credential::ManagedIdentity { endpoint, .. } => {
                let is_metadata = endpoint.contains("//169.254.169.254");
                Self {
                    port: port_of(endpoint),
                    kind: if is_metadata { Kind::Metadata } else { Kind::Vault },
                }
            }
        });
        let files =
            plan.volumes.iter().flat_map(|volume| volume.files.iter().map(|file| &file.vault));
        let selections =
            plan.volumes.iter().flat_map(|volume| volume.selections.iter().map(|one| &one.vault));
        let vaults = files
            .chain(selections)
            .map(|vault| Self { port: port_of(vault.as_str()), kind: Kind::Vault });
        let mut destinations = Vec::new();
        for destination in of_identity.chain(vaults) {
            if !destinations.contains(&destination) {
                destinations.push(destination);
            }
        }
        destinations
    }
}

fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(if scheme == "http" { 80 } else { 443 })
}

/// Behind the last native sidecar of a mesh, since nothing leaves the pod before it runs; else
/// first.
pub(super) fn position_behind_native_proxy(init: &[Container<'_>]) -> usize {
    let proxy = init
        .iter()
        .rposition(|container| container.is_native_sidecar() && is_proxy(init, &container.name));
    proxy.map_or(0, |index| index + 1)
}

/// A container called envoy is a mesh's only beside its redirect.
fn is_proxy(init: &[Container<'_>], name: &str) -> bool {
    MESHES.iter().any(|mesh| {
        is_one_of(mesh.proxies, name)
            && (name != "envoy"
                || init.iter().any(|container| is_one_of(mesh.redirects, &container.name)))
    })
}

/// Whether a container of this name is a mesh's.
pub(super) fn is_of_mesh(pod: &Pod<'_>, name: &str) -> bool {
    is_proxy(pod.init_containers(), name)
        || MESHES
            .iter()
            .any(|mesh| is_one_of(mesh.redirects, name) || is_one_of(mesh.validators, name))
}

/// The proxy that starts after a container at `position` though that container's traffic already
/// goes to it.
pub(super) fn proxy_to_wait_for<'p>(
    pod: &'p Pod<'_>,
    position: usize,
    destinations: &[Destination],
    uid: i64,
) -> Option<&'p str> {
    let mut capturing = MESHES.iter().filter(|mesh| {
        mesh.captures_before(pod, position)
            && !destinations.iter().all(|destination| mesh.excludes(pod, *destination, uid))
    });
    capturing.find_map(|mesh| mesh.proxy_after(pod, position))
}

impl Mesh {
    fn captures_before(&self, pod: &Pod<'_>, position: usize) -> bool {
        let init = pod.init_containers();
        let annotations = &pod.metadata.annotations;
        let networks = annotations.find(NETWORKS_ANNOTATION).unwrap_or_default();
        let before = &init[..position.min(init.len())];
        before.iter().any(|container| is_one_of(self.redirects, &container.name))
            || init.iter().any(|container| is_one_of(self.validators, &container.name))
            || (!self.network.is_empty() && networks.contains(self.network))
            || (!self.redirected.is_empty() && annotations.find(self.redirected).is_some())
    }

    /// Its proxy, unless that runs before.
    fn proxy_after<'p>(&self, pod: &'p Pod<'_>, position: usize) -> Option<&'p str> {
        let init = pod.init_containers();
        let (before, after) = init.split_at(position.min(init.len()));
        if self.native_proxy(before).is_some() {
            return None;
        }
        let mut ordinary = pod.containers().iter();
        let proxy = self
            .native_proxy(after)
            .or_else(|| ordinary.find(|container| is_one_of(self.proxies, &container.name)));
        proxy.map(|container| &*container.name)
    }

    fn native_proxy<'p, 'a>(&self, init: &'p [Container<'a>]) -> Option<&'p Container<'a>> {
        let mut native = init.iter().filter(|container| container.is_native_sidecar());
        native.find(|container| is_one_of(self.proxies, &container.name))
    }

    /// Whether an annotation takes a destination out of the capture.
    fn excludes(&self, pod: &Pod<'_>, destination: Destination, uid: i64) -> bool {
        let Destination { port, kind } = destination;
        let (off, value) = self.off;
        let mut excluded_ports = self.excluded_ports.iter().filter_map(|key| annotation(pod, key));
        let mut excluded_ranges =
            self.excluded_ranges.iter().filter_map(|key| annotation(pod, key));
        if annotation(pod, off).is_some_and(|found| found.eq_ignore_ascii_case(value))
            || annotation(pod, self.excluded_uids)
                .is_some_and(|list| covers(list, u64::try_from(uid).unwrap_or_default()))
            || excluded_ports.any(|list| excludes_port(list, port))
            || excluded_ranges.any(|list| leads_to(list, kind))
        {
            return true;
        }
        let is_included =
            annotation(pod, self.included_ports).is_some_and(|list| covers(list, port.into()));
        !is_included
            && annotation(pod, self.included_ranges).is_some_and(|list| !leads_to(list, kind))
    }
}

/// The value of an annotation that a mesh has; one without a name is not there.
fn annotation<'p>(pod: &'p Pod<'_>, key: &str) -> Option<&'p str> {
    if key.is_empty() { None } else { pod.metadata.annotations.find(key) }
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(prefix) => {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        }
        None => *known == name,
    })
}

/// Whether a list such as `22,440-450` has a number.
fn covers(list: &str, number: u64) -> bool {
    list.split(',').map(str::trim).any(|part| match part.split_once('-') {
        _ if part == "*" => true,
        Some((from, to)) => {
            let bounds = (from.trim().parse::<u64>(), to.trim().parse::<u64>());
            matches!(bounds, (Ok(from), Ok(to)) if (from..=to).contains(&number))
        }
        None => part.parse() == Ok(number),
    })
}

/// The same for ports; an entry such as `tcp:443:65532` names users too.
fn excludes_port(list: &str, port: u16) -> bool {
    list.split(';').any(|part| {
        let fields: Vec<&str> = part.split(':').collect();
        let ports = if fields.len() > 1 { fields[fields.len() - 2] } else { part };
        covers(ports, port.into())
    })
}

/// Whether one of these ranges may hold such a destination, whose address is unknown here.
fn leads_to(ranges: &str, kind: Kind) -> bool {
    let ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let mut ranges =
        ranges.filter_map(|range| if range == "*" { Some((0, 0)) } else { range_of(range) });
    ranges.any(|(network, mask)| {
        let is_local = is_within_one(network, mask, &LOCAL);
        match kind {
            Kind::Authority => !is_local && !is_within_one(network, mask, &PRIVATE),
            Kind::Vault => !is_local,
            Kind::Metadata => u32::from(METADATA_ADDRESS) & mask == network,
        }
    })
}

fn is_within_one(network: u32, mask: u32, ranges: &[([u8; 4], u32)]) -> bool {
    ranges.iter().any(|(address, length)| {
        let outer = mask_of(*length);
        mask >= outer && network & outer == u32::from_be_bytes(*address) & outer
    })
}

/// Network and mask.
fn range_of(range: &str) -> Option<(u32, u32)> {
    let (address, length) = range.split_once('/').unwrap_or((range, "32"));
    let mask = mask_of(length.parse().ok().filter(|length| *length <= 32)?);
    Some((u32::from(address.parse::<Ipv4Addr>().ok()?) & mask, mask))
}

fn mask_of(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}
