//! `KS69x`: the managed-identity endpoint of the sidecar.

use crate::reasons;

reasons! { MANAGED_IDENTITY:
    KS691
        "the managed-identity endpoint cannot listen on its port"
        "another process of the pod listens there: set another port with \
         azure.workload.identity/proxy-sidecar-port or keysluice.dev/managed-identity-endpoint";
    KS692
        "a command that ends cannot serve the managed-identity endpoint"
        "use keysluice-injector run for this Plan, or remove managedIdentity from it";
}
