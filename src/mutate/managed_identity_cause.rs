//! Why a pod cannot get a managed-identity endpoint.

use crate::coded::coded;
use keysluice_plan::{IMDS_ADDRESS, IMDS_PORT, LOWEST_ENDPOINT_PORT, MOST_ENDPOINT_IDENTITIES};

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum ManagedIdentityCause {
        /// Any process of the node would get tokens.
        #[error(
            "spec.hostNetwork is true: any process of the node could ask the managed-identity \
             endpoint that annotation {annotation} asks for"
        )]
        [KS205] HostNetwork {
            /// What asks for it.
            annotation: &'static str,
        },
        /// The sidecar is a Linux program.
        #[error("the pod runs on Windows, and annotation {annotation} asks for the \
            managed-identity endpoint of a Linux sidecar")]
        [KS205] Windows {
            /// What asks for it.
            annotation: &'static str,
        },
        /// A sidecar that ends.
        #[error(
            "the pod asks for a managed-identity endpoint, and its sidecar would fetch the secrets \
             once and end (mode init)"
        )]
        [KS277] Init,
        /// Neither yes nor no.
        #[error("annotation {annotation}: {value:?} is neither true nor false")]
        [KS274] Choice {
            /// The annotation.
            annotation: &'static str,
            /// Its value.
            value: String,
        },
        /// Not a port that can be bound.
        #[error("annotation {annotation}: {value:?} is not a port from {LOWEST_ENDPOINT_PORT} to \
            65535")]
        [KS274] Port {
            /// The annotation.
            annotation: &'static str,
            /// Its value.
            value: String,
        },
        /// A container listens there.
        #[error(
            "container {container:?} declares port {port}, on which the managed-identity endpoint \
             listens"
        )]
        [KS275] PortTaken {
            /// The container.
            container: String,
            /// The port.
            port: u16,
        },
        /// The operator did not opt in.
        #[error(
            "annotation keysluice.dev/managed-identity-endpoint: intercept is not allowed by the \
             operator of this cluster"
        )]
        [KS280] InterceptNotAllowed,
        /// The sidecar would ask itself.
        #[error(
            "the sidecar reads volume {volume:?} with the node's managed identity, which only \
             {IMDS_ADDRESS} gives, and the pod has that address intercepted"
        )]
        [KS281] OwnManagedIdentity {
            /// The volume.
            volume: String,
        },
        /// The sidecar is not root.
        #[error(
            "spec.securityContext.sysctls: net.ipv4.ip_unprivileged_port_start is {value:?}, and \
             the sidecar listens on port {IMDS_PORT} of {IMDS_ADDRESS}"
        )]
        [KS282] PortStart {
            /// What the pod sets.
            value: String,
        },
        /// A listener on all addresses has that of IMDS too.
        #[error(
            "container {container:?} declares port {IMDS_PORT}, on which the sidecar listens at \
             {IMDS_ADDRESS}"
        )]
        [KS283] ImdsPortTaken {
            /// The container.
            container: String,
        },
        /// A node that gives no rights on the network.
        #[error(
            "the pod may run on a virtual node ({sign}), which gives no container the capability \
             NET_ADMIN"
        )]
        [KS284] VirtualNode {
            /// How the pod says so.
            sign: String,
        },
        /// Nobody to give tokens of.
        #[error(
            "the managed-identity endpoint has no identity: ServiceAccount {account:?} has no \
             annotation azure.workload.identity/client-id"
        )]
        [KS276] NoIdentity {
            /// The ServiceAccount.
            account: String,
        },
        /// No tenant to ask.
        #[error(
            "the managed-identity endpoint has no tenant: ServiceAccount {account:?} has no \
             annotation azure.workload.identity/tenant-id, and the cluster has no default"
        )]
        [KS276] NoTenant {
            /// The ServiceAccount.
            account: String,
        },
        /// A tenant that the operator does not allow.
        #[error(
            "the managed-identity endpoint: tenant {tenant:?} is not among those that the operator \
             allows"
        )]
        [KS276] Tenant {
            /// The tenant.
            tenant: String,
        },
        /// More than a pod needs.
        #[error(
            "the managed-identity endpoint has more than {MOST_ENDPOINT_IDENTITIES} identities"
        )]
        [KS276] TooMany,
        /// One name of two identities.
        #[error(
            "annotation keysluice.dev/managed-identities gives {name:?} to an identity, and it is \
             the client id of another"
        )]
        [KS276] Twice {
            /// The id.
            name: String,
        },
        /// Annotations that came after the sidecar.
        #[error("annotation {annotation} was added to a pod that has its sidecar already")]
        [KS279] Late {
            /// Which.
            annotation: &'static str,
        },
        /// A pod that did not opt in.
        #[error("the pod has annotation {annotation}, but not the label \
            azure.workload.identity/use: \"true\"")]
        [KS279] Label {
            /// Which.
            annotation: &'static str,
        },
        /// An annotation that belongs to another.
        #[error("annotation {annotation} is set, and the pod has no managed-identity endpoint")]
        [KS279] Alone {
            /// Which.
            annotation: &'static str,
        },
    }
}
