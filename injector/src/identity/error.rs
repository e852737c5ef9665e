//! Why there is no token.

use super::assertion::Claims;
use super::entra_error::EntraError;
use super::principal::PrincipalError;
use crate::fault::{Class, Fault, FaultKind};
use crate::foreign::{Foreign, without_user_info};
use crate::http::{Failure, FailureKind, HttpError};
use keysluice_plan::reason::{
    KS301, KS302, KS310, KS311, KS312, KS314, KS315, KS319, KS320, KS321, KS322, KS410, KS417,
    KS418, KS434, KS435, KS438, KS439, KS440, KS441, KS442, KS443, Reason,
};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// What a client proves itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    /// The pod's own token.
    Federated,
    /// A client secret.
    Secret,
    /// A certificate.
    Certificate,
}

impl ProofKind {
    /// What a refusal means: the signature of a client's own assertion fails because the
    /// application does not have the certificate.
    fn reason_and_class(self, error: &EntraError) -> (Reason, Class) {
        match (self, error.reason_and_class()) {
            (Self::Certificate, (KS320, _)) => (KS438, Class::Slow),
            (_, known) => known,
        }
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The projected token cannot be read.
    #[error("token file {}: {error}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: std::io::Error,
    },
    /// The projected token is none.
    #[error("token file {} {problem}", path.display())]
    TokenFileGarbled {
        /// The file.
        path: PathBuf,
        /// In which way.
        problem: &'static str,
    },
    /// The credentials of a service principal cannot be read.
    #[error(transparent)]
    Principal(#[from] PrincipalError),
    /// Entra said no.
    #[error("Entra refused client {client_id} in tenant {tenant_id}: \
        {error}{}", claims.as_ref().map(|claims| format!("; {claims}")).unwrap_or_default())]
    Entra {
        /// Client id of the request.
        client_id: String,
        /// Tenant of the request.
        tenant_id: String,
        /// What the client proved itself with.
        proof: ProofKind,
        /// What it said.
        error: Box<EntraError>,
        /// What the rejected token claims, when that explains it.
        claims: Option<Box<Claims>>,
        /// Seconds Entra asked us to wait.
        retry_after: Option<Duration>,
    },
    /// IMDS said no.
    #[error("managed-identity endpoint {endpoint}{identity}: {text}")]
    Imds {
        /// Base URL.
        endpoint: String,
        /// Whom it refused.
        identity: String,
        /// HTTP status.
        status: u16,
        /// The status, its error and description, shortened.
        text: String,
        /// Whether the node has several identities, and the request names none.
        several: bool,
        /// Seconds it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Not asked: it said to wait.
    #[error("{endpoint}: not asked for another {} s, as it demanded", wait.as_secs())]
    Waiting {
        /// Authority or IMDS.
        endpoint: String,
        /// Whether it is the managed-identity endpoint.
        imds: bool,
        /// The rest of the wait.
        wait: Duration,
    },
    /// No complete answer.
    #[error("{endpoint}: {failure}")]
    Network {
        /// Authority or IMDS.
        endpoint: String,
        /// Whether it is the managed-identity endpoint.
        imds: bool,
        /// What happened.
        #[source]
        failure: Failure,
    },
    /// The token proxy gave no complete answer.
    #[error("token proxy {url}: {failure}")]
    TokenProxy {
        /// Its URL.
        url: String,
        /// What happened.
        #[source]
        failure: Failure,
    },
    /// The authorities of the token proxy cannot be used.
    #[error("authorities of the token proxy: {origin}: {problem}")]
    TokenProxyAuthorities {
        /// The file, or the field of the Plan.
        origin: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The token proxy said no, before Entra was asked.
    #[error("the token proxy refuses client {client_id}: {foreign}")]
    Unbound {
        /// Client id of the request.
        client_id: String,
        /// What it said.
        foreign: Box<Foreign>,
    },
    /// Neither a token nor a refusal: the answer is not from Entra.
    #[error("{endpoint}: {foreign} is neither a token nor an error of {}: something between may \
        answer in its place", if *imds { "the managed-identity endpoint" } else { "Entra" })]
    Foreign {
        /// Authority or IMDS.
        endpoint: String,
        /// Whether it is the managed-identity endpoint.
        imds: bool,
        /// What came.
        foreign: Box<Foreign>,
        /// Seconds it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The authority is not https, or has a user name in it.
    #[error("authority {:?} is not an https URL{}", without_user_info(authority),
        if authority.contains('@') { " without user name and password" } else { "" })]
    Authority {
        /// As the Plan has it.
        authority: String,
    },
    /// No client.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl IdentityError {
    /// As code and message; [`named`] adds the identity.
    pub fn fault(&self) -> Fault {
        let (reason, class, retry_after) = match self {
            // Something else lies there, or the kubelet writes the file anew, at the latest at 80 %
            // of its lifetime.
            Self::TokenFile { error, .. } if error.kind() == ErrorKind::InvalidData => {
                (KS302, Class::Slow, None)
            }
            Self::TokenFileGarbled { .. } => (KS302, Class::Slow, None),
            Self::TokenFile { .. } => (KS301, Class::Slow, None),
            // The kubelet brings what is added to the Secret within a minute or two.
            Self::Principal(PrincipalError::Certificate { .. }) => (KS435, Class::Slow, None),
            Self::Principal(_) => (KS434, Class::Slow, None),
            Self::Entra { error, proof, retry_after, .. } => {
                let (reason, class) = proof.reason_and_class(error);
                (reason, class, *retry_after)
            }
            Self::Imds { status: 404 | 408 | 410 | 429 | 500.., retry_after, .. } => {
                (KS322, Class::Transient, *retry_after)
            }
            Self::Imds { status: 403, .. } => (KS440, Class::Slow, None),
            Self::Imds { several: true, .. } => (KS439, Class::Slow, None),
            Self::Imds { .. } => (KS321, Class::Slow, None),
            Self::Waiting { imds, wait, .. } => {
                (if *imds { KS322 } else { KS310 }, Class::Transient, Some(*wait))
            }
            Self::Network { imds: true, .. } => (KS440, Class::Transient, None),
            // The hint about the CA helps here, the one about egress does not.
            Self::Network { failure: Failure { kind: FailureKind::Tls, .. }, .. } => {
                (KS410, Class::Transient, None)
            }
            Self::Network { failure: Failure { kind: FailureKind::Proxy, .. }, .. } => {
                (KS417, Class::Transient, None)
            }
            Self::Network { failure: Failure { kind: FailureKind::ProxyRefused, .. }, .. } => {
                (KS418, Class::Transient, None)
            }
            Self::Network { .. } => (KS312, Class::Transient, None),
            Self::TokenProxy { .. } => (KS441, Class::Transient, None),
            // The kubelet may be replacing the file.
            Self::TokenProxyAuthorities { .. } => (KS442, Class::Slow, None),
            Self::Unbound { .. } => (KS443, Class::Slow, None),
            Self::Foreign { imds, foreign, retry_after, .. } => {
                let reason = match (foreign.status(), imds) {
                    (410 | 429, true) => KS322,
                    (429, false) => KS310,
                    (_, true) if foreign.is_unavailable() => KS322,
                    (_, false) if foreign.is_unavailable() => KS311,
                    (_, true) => KS319,
                    (_, false) => KS314,
                };
                (reason, Class::Transient, *retry_after)
            }
            Self::Authority { .. } => (KS315, Class::Permanent, None),
            Self::Http(error) => return error.fault(),
        };
        Fault {
            reason,
            message: self.to_string(),
            kind: FaultKind::NoToken,
            class,
            retry_after,
            waiting: matches!(self, Self::Waiting { .. }),
        }
    }
}

/// The same fault with the name of the identity whose token is missing.
pub(super) fn named(identity: &str, fault: Fault) -> Fault {
    if fault.kind != FaultKind::NoToken {
        return fault;
    }
    Fault { message: format!("identity {identity:?}: {}", fault.message), ..fault }
}
