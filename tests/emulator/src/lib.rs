//! A local stand-in for what Keysluice talks to in Azure: Entra's token endpoint, Key Vault, IMDS,
//! and the cluster's OIDC issuer; and for the part of the API server that a sidecar uses.
//!
//! It is honest. A federated token is verified as Entra does (RS256 by the issuer's keys, exact
//! issuer, exact and case-sensitive subject, audience, time), an access token as Key Vault does
//! (signature, issuer, audience, expiry), then the role assignments of the identity; refusals carry
//! the services' own codes and texts. Microsoft's SDKs read a secret from it (`tests/sdk`).
//!
//! ```no_run
//! # async fn example() -> Result<(), keysluice_emulator::StartError> {
//! use keysluice_emulator::{Config, Emulator, Fault, CallKind, Seed};
//!
//! let seed: Seed = serde_json::from_str(r#"{
//!     "apps": [{
//!         "clientId": "11111111-1111-1111-1111-111111111111",
//!         "tenantId": "99999999-9999-9999-9999-999999999999",
//!         "federatedCredentials": [{"subject": "system:serviceaccount:shop:web"}]
//!     }],
//!     "vaults": [{
//!         "name": "shop", "tenantId": "99999999-9999-9999-9999-999999999999",
//!         "secrets": {"db-password": "s3cret", "old": {"value": "x", "enabled": false}},
//!         "keys": {"signing": {"kty": "EC", "crv": "P-256"}},
//!         "certificates": {"web": {"subject": "web.example"}},
//!         "roles": [{
//!             "clientId": "11111111-1111-1111-1111-111111111111", "secrets": ["get", "list"]
//!         }]
//!     }]
//! }"#).expect("a seed");
//! let emulator = Emulator::start(Config { seed, ..Config::default() }).await?;
//! emulator.inject(Fault::throttle(2).on(CallKind::SecretGet).times(1));
//! # Ok(()) }
//! ```
//!
//! # Where it answers
//!
//! | host | what |
//! | --- | --- |
//! | `login.localhost`, `login.microsoftonline.com` | Entra |
//! | `NAME.vault.localhost` | a vault, with tokens for `https://vault.localhost` |
//! | `NAME.vault.azure.net` | the same vault, with tokens for `https://vault.azure.net` |
//! | any, with a TLS server name below `ests.aks` | AKS' token proxy, below any path |
//! | `oidc.localhost` | the issuer of ServiceAccount tokens |
//! | `localhost`, `127.0.0.1`, any other | IMDS, Secrets, [`pipeline`], control; also plain |
//!
//! The names lead to whatever address the client resolves them to; only the `Host` header counts.
//! Every certificate is signed by an authority made at start.
//!
//! # Control
//!
//! Everything below `http://HOST:PORT/control/`; bodies are JSON. Control calls are neither counted
//! nor logged nor failed.
//!
//! | call | effect |
//! | --- | --- |
//! | `GET token?namespace=&serviceAccount=[&audience=][&lifetimeSeconds=]` | a token, as text |
//! | `GET cloud`, `GET ca` | the cloud definition; the authority, PEM |
//! | `POST seed` | adds a [`Seed`] |
//! | `PUT vaults/V/secrets/NAME` | a [`seed::SecretSeed`] as new version; answers `{"version"}` |
//! | `PUT vaults/V/keys/NAME` | the same of a [`seed::KeySeed`] |
//! | `PUT vaults/V/certificates/NAME` | the same of a [`seed::CertificateSeed`] |
//! | `POST vaults/V/objects/NAME/disable[?version=]`, `…/enable` | disables or enables a version |
//! | `PUT vaults/V/objects/NAME/tags` | replaces the tags of a secret |
//! | `DELETE vaults/V/objects/NAME` | deletes |
//! | `POST vaults/V/roles` | adds a [`seed::RoleSeed`] |
//! | `DELETE vaults/V/roles/CLIENTID` | takes all roles from an identity |
//! | `GET counts`, `GET requests`, `DELETE counts` | [`Counts`]; [`RequestRecord`]s; forgets both |
//! | `GET diagnostics`, `DELETE diagnostics` | the diagnostic log, JSON lines; forgets it |
//! | `PUT diagnostics` | `{"clientCorrelation": true}`: its `correlationId` is the client's |
//! | `POST faults`, `GET faults`, `DELETE faults` | adds a [`Fault`]; shows them; ends them |
//! | `PUT delay` | `{"milliseconds": 10}`, the round-trip time of every call |
//! | `PUT lists` | a [`ListShape`]: `{"pageSize": 2, "emptyPages": true}`; `{}` for full pages |
//! | `PUT token-lifetime` | `{"seconds": 90}` of access tokens from now on; `{}` for the usual |

mod call;
mod cloud;
mod cluster;
mod control;
mod diagnostics;
mod directory;
mod emulator;
mod entra;
mod fault;
mod imds;
mod issuer;
mod journal;
mod kubernetes;
mod moment;
pub mod pipeline;
mod port;
mod random;
mod reply;
mod route;
pub mod seed;
mod server;
mod signing;
mod tls;
mod vault;
mod world;

pub use cluster::Cluster;
pub use emulator::{Config, Emulator, StartError};
pub use fault::{Break, Effect, Fault};
pub use issuer::TokenClaims;
pub use journal::{Counts, RequestRecord};
pub use kubernetes::Stored;
pub use port::free_port;
pub use route::CallKind;
pub use seed::Seed;
pub use signing::SigningError;
pub use tls::TlsError;
pub use vault::{CertificateReason, KeyReason, ListShape, SeedError};
