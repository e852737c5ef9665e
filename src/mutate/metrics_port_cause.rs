//! Why a sidecar cannot have a port for its metrics.

use super::names::METRICS_PORT;
use crate::coded::coded;

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum MetricsPortCause {
        /// The port would be the node's.
        #[error("spec.hostNetwork is true: the port that annotation {METRICS_PORT} asks for would \
            be one of the node")]
        [KS297] HostNetwork,
        /// A sidecar that ends.
        #[error("annotation {METRICS_PORT} asks for a port of the sidecar, which would fetch the \
            secrets once and end (mode init)")]
        [KS297] Init,
        /// A container listens there.
        #[error("container {container:?} declares port {port}, which annotation {METRICS_PORT} \
            asks for")]
        [KS297] Taken {
            /// The container.
            container: String,
            /// The port.
            port: u16,
        },
        /// The sidecar itself listens there.
        #[error("the managed-identity endpoint listens on port {port}, which annotation \
            {METRICS_PORT} asks for")]
        [KS297] Endpoint {
            /// The port.
            port: u16,
        },
    }
}
