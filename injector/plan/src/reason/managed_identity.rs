//! `KS69x`: what the sidecar serves: the managed-identity endpoint and the metrics port.

use crate::reasons;

reasons! { MANAGED_IDENTITY:
    KS691
        "the managed-identity endpoint cannot listen on its port"
        "another process of the pod listens there: set another port with \
         azure.workload.identity/proxy-sidecar-port or keysluice.dev/managed-identity-endpoint";
    KS692
        "a command that ends cannot serve the managed-identity endpoint"
        "use keysluice-injector run for this Plan, or remove managedIdentity from it";
    KS693
        "the sidecar cannot listen on the address of IMDS, 169.254.169.254:80"
        "let no other webhook change the pod's init container keysluice-intercept, which adds the \
         address, or its sysctl net.ipv4.ip_unprivileged_port_start, which is 80 at most; let no \
         container listen on port 80 of all addresses";
    KS694
        "the address of IMDS, 169.254.169.254, cannot be added to the pod's loopback interface"
        "let the init container keysluice-intercept run as root with the capability NET_ADMIN, as \
         the webhook adds it, on a node that grants it (virtual nodes do not)";
    KS695
        "the sidecar cannot listen on the port for its metrics"
        "another process of the pod listens there: set another port with \
         keysluice.dev/metrics-port";
}
