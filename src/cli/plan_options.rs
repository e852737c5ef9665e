//! Where the sidecars of running pods ask for their current Plan.

use super::Failure;
use crate::cluster::api::Client;
use crate::reason::KS511;
use crate::server::plans::KeySource;
use crate::settings::{Authorities, LivePlans};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The listener for Plans.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the options")]
pub(super) struct PlanOptions {
    /// Address for the requests of sidecars whose class was edited; without it pods keep the Plan
    /// that they were created with.
    #[arg(long, env = "KEYSLUICE_PLAN_LISTEN", value_name = "ADDR", requires = "plan_url")]
    plan_listen: Option<SocketAddr>,
    /// URL of that listener as pods see it (`https://SERVICE.NAMESPACE.svc:9444`).
    #[arg(long, env = "KEYSLUICE_PLAN_URL", value_name = "URL", requires = "plan_listen",
        value_parser = url)]
    plan_url: Option<String>,
    /// PEM of the certificate authorities that sidecars check that listener's certificate with;
    /// without it the webhook's own, or ca.crt in --tls-dir.
    #[arg(long, env = "KEYSLUICE_PLAN_AUTHORITIES", value_name = "PEM", requires = "plan_listen")]
    plan_authorities: Option<String>,
    /// JSON Web Key Set that verifies the sidecars' tokens; without it the API server is asked for
    /// the cluster's.
    #[arg(long, env = "KEYSLUICE_PLAN_JWKS", value_name = "FILE", requires = "plan_issuer")]
    plan_jwks: Option<PathBuf>,
    /// Issuer of those tokens, for --plan-jwks.
    #[arg(long, env = "KEYSLUICE_PLAN_ISSUER", value_name = "URL", requires = "plan_jwks")]
    plan_issuer: Option<String>,
}

/// A listener that is wanted.
pub(super) struct Wanted {
    pub(super) listen: SocketAddr,
    pub(super) keys: KeySource,
    pub(super) live: LivePlans,
}

impl PlanOptions {
    /// The listener, if one is wanted.
    ///
    /// # Errors
    /// KS511 where nothing says how tokens are verified.
    pub(super) fn wanted(
        &self,
        client: Option<&Client>,
        authorities: &Authorities,
    ) -> Result<Option<Wanted>, Failure> {
        let (Some(listen), Some(url)) = (self.plan_listen, &self.plan_url) else {
            return Ok(None);
        };
        let keys = match (&self.plan_jwks, &self.plan_issuer, client) {
            (Some(path), Some(issuer), _) => {
                KeySource::File { path: path.clone(), issuer: issuer.clone() }
            }
            (_, _, Some(client)) => KeySource::ApiServer(client.clone()),
            _ => {
                let message = "--plan-listen needs --plan-jwks and --plan-issuer where --objects \
                    takes the place of an API server";
                return Err(Failure::usage(anyhow::anyhow!("{KS511} {message}")));
            }
        };
        let authorities = match &self.plan_authorities {
            None => authorities.clone(),
            Some(pem) => {
                let given = Authorities::default();
                given.store(pem.clone());
                given
            }
        };
        let live = LivePlans { url: url.clone(), authorities };
        Ok(Some(Wanted { listen, keys, live }))
    }
}

/// A base URL of https without a path.
fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    host.filter(|host| is_host(host)).map(|host| format!("https://{host}")).ok_or_else(|| {
        format!("{text:?} is not a URL such as https://keysluice.keysluice-system.svc:9444")
    })
}

/// Whether a text has only what the host of a URL may have, and its port.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn a_url_of_plans_is_https_with_a_host_and_no_path() {
        assert_eq!(url("https://k.n.svc:9444/"), Ok("https://k.n.svc:9444".to_owned()));
        for bad in
            ["", "http://k", "https://", "k:9444", "https://k/v1", "https://u@k", "https://k?"]
        {
            assert!(url(bad).unwrap_err().contains("is not a URL"), "{bad}");
        }
    }
}
