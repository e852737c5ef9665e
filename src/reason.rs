//! Every code a user can meet: cause and fix. `docs/reasons.md` is generated from these tables.

use keysluice_plan::reason::{INJECTOR, Reason};
use keysluice_plan::reasons;

// KS1xx: SecretProviderClass and its objects.
reasons! { PROVIDER_CLASS:
    KS107 "filePermission is not octal" "write it as \"0640\"";
}

// KS2xx: the pod and its annotations.
reasons! { POD:
    KS201 "the AdmissionReview or the pod in it cannot be read" "send a core/v1 Pod in an admission.k8s.io/v1 AdmissionReview";
}

/// All reasons, in order of code.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    PROVIDER_CLASS.iter().chain(POD).chain(INJECTOR)
}
