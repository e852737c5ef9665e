//! The HTTPS client: our own roots, resolver and proxy rules.

mod failure;
mod proxy;
mod resolver;
mod roots;

pub use failure::{Failure, FailureKind};

use crate::calls::{self, Call};
use crate::fault::{Class, Fault};
use keysluice_plan::reason::{KS606, KS607, KS608};
use proxy::Route;
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use resolver::Resolver;
use rustix::time::{ClockId, clock_gettime};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecretMut, SecretBox};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::sleep;
use zeroize::Zeroize;

/// No object of Key Vault and no answer of Entra comes near this (a value has at most 25 KB).
pub const BODY_LIMIT_BYTES: usize = 256 * 1024;
/// Nor a page of a list this: 25 entries with 15 tags of twice 512 characters.
pub const PAGE_LIMIT_BYTES: usize = 1024 * 1024;
/// At most this many requests to vaults at once, and so many connections worth keeping for the next
/// one.
pub const CONCURRENCY: usize = 8;

/// Far more than eight handshakes and all that is made of their answers take.
const MAX_BUSY: Duration = Duration::from_secs(2);
const BUSY_LOOK: Duration = Duration::from_millis(100);

const USER_AGENT: &str = concat!("keysluice-injector/", env!("CARGO_PKG_VERSION"));

/// Why no client can be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// `trustedCa` of the Plan or the file of `SSL_CERT_FILE`.
    #[error("{origin}: {problem}")]
    Roots {
        /// Where the certificates were to come from.
        origin: String,
        /// What is wrong with them.
        problem: String,
    },
    /// A proxy variable; its value may hold a password and is not shown.
    #[error("{variable} is not a URL of an HTTP proxy")]
    Proxy {
        /// `HTTPS_PROXY` or `ALL_PROXY`, as it is written in the environment.
        variable: &'static str,
    },
    /// TLS or client set-up.
    #[error("the HTTPS client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HttpError {
    /// As code and message.
    pub fn fault(&self) -> Fault {
        let reason = match self {
            Self::Roots { .. } => KS606,
            Self::Proxy { .. } => KS607,
            Self::Client(_) => KS608,
        };
        Fault::new(reason, Class::Permanent, self)
    }
}

/// The one place that names the crypto provider.
pub fn crypto_provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// What the environment says about TLS and proxies; read once.
#[derive(Debug, Default, Clone)]
pub struct Environment {
    ssl_cert_file: Option<String>,
    https_proxy: Option<(&'static str, String)>,
    no_proxy: String,
}

impl Environment {
    /// From this process.
    pub fn of_process() -> Self {
        let https_proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .into_iter()
            .find_map(|name| variable(name).map(|value| (name, value)));
        let no_proxy = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
        Self { ssl_cert_file: variable("SSL_CERT_FILE"), https_proxy, no_proxy }
    }
}

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Shares one client while it is in use, and drops it afterwards: an idle pod keeps
/// no connection, no TLS buffer and no timer. TLS sessions are kept, so the next round resumes.
pub struct Http {
    tls: ClientConfig,
    route: Option<Route>,
    current: Mutex<Weak<Client>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// Compiled-in roots, plus `trusted_ca`, plus `SSL_CERT_FILE`.
    pub fn new(trusted_ca: Option<&str>, environment: &Environment) -> Result<Self, HttpError> {
        let tls = tls(roots::store(trusted_ca, environment.ssl_cert_file.as_deref())?)?;
        let route = match &environment.https_proxy {
            None => None,
            Some((variable, url)) => {
                Some(Route::new(url, &environment.no_proxy).ok_or(HttpError::Proxy { variable })?)
            }
        };
        Ok(Self { tls, route, current: Mutex::new(Weak::new()) })
    }

    /// For the cluster's API server: trusts `ca` alone, and uses no proxy.
    pub fn for_cluster(ca: &[u8]) -> Result<Self, HttpError> {
        Ok(Self {
            tls: tls(roots::only("ca.crt", ca)?)?,
            route: None,
            current: Mutex::new(Weak::new()),
        })
    }

    /// The client for vaults and Entra: https only, no redirects.
    pub fn client(&self) -> Result<Arc<Client>, HttpError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = current.upgrade() {
            return Ok(client);
        }
        let mut builder = builder(self.tls.clone(), Resolver::default()).https_only(true);
        if let Some(route) = &self.route {
            builder = builder.proxy(route.proxy());
        }
        let client = Arc::new(builder.build().map_err(|error| HttpError::Client(error.into()))?);
        *current = Arc::downgrade(&client);
        Ok(client)
    }

    /// The failure of a request to `url`, with the proxy that it went through.
    pub fn explained(&self, url: &str, failure: Failure) -> Failure {
        let route = self.route.as_ref().zip(Url::parse(url).ok());
        match route.filter(|(route, url)| route.takes(url)) {
            Some((route, _)) => failure.through(&route.shown()),
            None => failure,
        }
    }

    /// The client for the node's managed-identity endpoint: plain http, never through a proxy.
    pub fn plain_client(&self) -> Result<Client, HttpError> {
        let builder = builder(self.tls.clone(), Resolver::default());
        builder.build().map_err(|error| HttpError::Client(error.into()))
    }

    /// A client for one host, never through a proxy: https only. `authorities` (PEM, and where it
    /// comes from) alone are trusted, if they are given. A request to the first name of `alias`
    /// goes to the host of the second.
    pub fn direct_client(
        &self,
        authorities: Option<(&str, &[u8])>,
        alias: Option<(String, String)>,
    ) -> Result<Client, HttpError> {
        let tls = match authorities {
            Some((origin, pem)) => tls(roots::only(origin, pem)?)?,
            None => self.tls.clone(),
        };
        let builder = builder(tls, Resolver::with_alias(alias)).https_only(true);
        builder.build().map_err(|error| HttpError::Client(error.into()))
    }
}

fn builder(tls: ClientConfig, resolver: Resolver) -> reqwest::ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolver))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(USER_AGENT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(CONCURRENCY)
        .pool_idle_timeout(None)
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(30))
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, HttpError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Client(error.into()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Sends a request, waits for the head of the answer and counts the call. Before it an endpoint may
/// send any number of others ("100 Continue"), which the HTTP layer reads without telling: they may
/// cost a bounded time of this thread.
pub async fn send(call: Call, request: RequestBuilder) -> Result<Response, Failure> {
    let busy_before = busy();
    let kept_busy = async {
        while busy().saturating_sub(busy_before) < MAX_BUSY {
            sleep(BUSY_LOOK).await;
        }
    };
    let result = tokio::select! {
        response = request.send() => response.map_err(|error| Failure::of_request(&error)),
        () = kept_busy => Err(Failure::without_head()),
    };
    calls::count(call, result.as_ref().ok().map(|response| response.status().as_u16()));
    result
}

/// What this thread has worked so far.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Reads a body up to a limit. Our copy is zeroised; the chunks are buffers of the HTTP and TLS
/// layers, which nobody can wipe from here: they are freed as soon as they are copied.
pub async fn body(
    mut response: Response,
    limit_bytes: usize,
) -> Result<SecretBox<Vec<u8>>, Failure> {
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(8 * 1024);
    let mut body = SecretBox::new(Box::new(Vec::with_capacity(announced.min(limit_bytes))));
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::of_body(&error))? {
        let buffer: &mut Vec<u8> = body.expose_secret_mut();
        let length = buffer.len() + chunk.len();
        if length > limit_bytes {
            return Err(Failure::too_long(limit_bytes));
        }
        if length > buffer.capacity() {
            // Growing in place would leave a copy behind.
            let mut grown = Vec::with_capacity((length * 2).min(limit_bytes));
            grown.extend_from_slice(buffer);
            buffer.zeroize();
            *buffer = grown;
        }
        buffer.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_shared_while_it_is_used() {
        let http = Http::new(None, &Environment::default()).unwrap();
        let first = http.client().unwrap();
        assert!(Arc::ptr_eq(&first, &http.client().unwrap()));
        drop(first);
        assert!(http.current.lock().unwrap().upgrade().is_none());
    }

    #[test]
    fn a_bad_proxy_is_named_and_its_password_is_not() {
        let https_proxy = Some(("HTTPS_PROXY", "http://user:canary@[bad".to_owned()));
        let error =
            Http::new(None, &Environment { https_proxy, ..Environment::default() }).unwrap_err();
        let text = format!("{} {error:?}", error.fault());
        assert!(
            text.starts_with("KS607 HTTPS_PROXY is not a URL") && !text.contains("canary"),
            "{text}"
        );
    }
}
