//! One request to a token service: HTTPS with public authorities, through a proxy if the
//! environment names one, with a bounded answer.

use super::assertion::{Service, is_loopback};
use super::error::{Cause, FetchError};
use http::{StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::{BoxError, ServiceExt as _};

const PATIENCE: Duration = Duration::from_secs(10);
/// A token has a few KiB.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why there is no token.
pub(super) struct NoToken {
    /// Whether another try may help.
    pub(super) is_transient: bool,
    pub(super) problem: String,
}

impl NoToken {
    fn transient(problem: String) -> Self {
        Self { is_transient: true, problem }
    }
}

/// Requests tokens.
pub(super) struct Client {
    tls: TlsConnector,
    proxies: Matcher,
}

impl Client {
    /// Trusts the compiled-in authorities, those of the cloud, and those of `SSL_CERT_FILE`.
    pub(super) fn new(trusted_ca: Option<&str>) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        add(&mut roots, trusted_ca.unwrap_or_default().as_bytes());
        if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            let origin = format!("SSL_CERT_FILE {}", path.display());
            let added = std::fs::read(&path).map(|pem| add(&mut roots, &pem));
            let problem = match added {
                Ok(1..) => None,
                Ok(0) => Some("no certificate in it".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(problem) = problem {
                return Err(Cause::Authorities { origin, problem }.into());
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls).into(), proxies: Matcher::from_env() })
    }

    /// A new token. No redirect is followed: the bearer token goes to the one host.
    pub(super) async fn token(&self, service: &Service) -> Result<SecretString, NoToken> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(service)).await;
        let asked = asked.map_err(|_| {
            NoToken::transient(format!("no answer within {} s", PATIENCE.as_secs()))
        })?;
        let (status, body) = asked.map_err(|error| NoToken::transient(chain(&error)))?;
        if status.is_success() {
            let token = service.token(&body);
            return token.map_err(|problem| NoToken { is_transient: false, problem });
        }
        let is_transient = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(NoToken { is_transient, problem: format!("it answered {}", status.as_u16()) })
    }

    async fn ask(&self, service: &Service) -> Result<(StatusCode, Vec<u8>), BoxError> {
        let url = &service.url;
        let host = url.host().unwrap_or_default();
        let stream = self.connect(url).await?;
        if url.scheme_str() == Some("https") {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
            let stream = self.tls.connect(name, stream.into_inner()).await?;
            exchange(TokioIo::new(stream), service).await
        } else {
            exchange(stream, service).await
        }
    }

    async fn connect(&self, url: &Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let host = url.host().unwrap_or_default();
        let is_https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if is_loopback(host) {
            let address = host.trim_matches(['[', ']']).parse().ok();
            let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            return Ok(TokioIo::new(TcpStream::connect((address, port)).await?));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let Some(proxy) = self.proxies.intercept(url) else {
            return Ok(connector.oneshot(url.clone()).await?);
        };
        if proxy.uri().scheme_str() != Some("http") {
            return Err("the proxy of the environment is not an http proxy".into());
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Ok(tunnel.oneshot(url.clone()).await?)
    }
}

async fn exchange<S>(stream: S, service: &Service) -> Result<(StatusCode, Vec<u8>), BoxError>
where
    S: Read + Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(async move {
        // The request on it says what happened.
        let _ = connection.await;
    });
    let authority = service.url.authority().map_or("", |authority| authority.as_str());
    let path = service.url.path_and_query().map_or("/", |path| path.as_str());
    let request = service.request()?;
    let request = request
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("keysluice/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    let response = sender.send_request(request.body(Empty::<bytes::Bytes>::new())?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?;
    Ok((status, body.to_bytes().to_vec()))
}

/// A bundle of a distribution may hold a certificate or two that rustls does not take.
/// Adds what can be read; gives how many that were.
fn add(roots: &mut RootCertStore, pem: &[u8]) -> usize {
    let certificates = CertificateDer::pem_slice_iter(pem).flatten();
    certificates.filter(|certificate| roots.add(certificate.clone()).is_ok()).count()
}

/// The error with its causes, each once.
fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
