//! The connection to the API server as it is in a cluster: TLS by an authority that is renewed, and
//! a token that the kubelet renews.

use crate::suite::cluster::watches::{Cached, Watched, eventually, server_with_accounts};
use crate::suite::support::api_server::ApiServer;
use keysluice::cluster::{CacheStatus, Cluster};
use keysluice_certs::CertificateAuthority;
use rustls::ServerConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// From now on new connections are served with a certificate of this authority.
fn serve_with(server: &ApiServer, authority: &CertificateAuthority) {
    let leaf = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_no_client_auth().with_single_cert(leaf.chain, leaf.key).unwrap();
    server.world().tls = Some(Arc::new(config));
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    path
}

fn kubeconfig(server: &ApiServer, directory: &Path) -> PathBuf {
    let cluster =
        format!("{{server: \"https://{}\", certificate-authority: ca.crt}}", server.address());
    let text = format!(
        "current-context: test\nclusters: [{{name: test, cluster: {cluster}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
         users: [{{name: test, user: {{tokenFile: token}}}}]\n"
    );
    write(directory, "kubeconfig", &text)
}

async fn watched(directory: &Path, authority: &CertificateAuthority) -> Watched {
    let server = server_with_accounts();
    serve_with(&server, authority);
    write(directory, "ca.crt", authority.pem());
    write(directory, "token", "t\n");
    let watched = Watched::by(&kubeconfig(&server, directory), server);
    watched.until("synced", |caches| caches.iter().all(|cache| cache.synced)).await;
    watched
}

fn troubled(part: &'static str) -> impl Fn(&[CacheStatus]) -> bool {
    move |caches| {
        caches
            .iter()
            .all(|cache| cache.trouble.as_deref().is_some_and(|trouble| trouble.contains(part)))
    }
}

#[tokio::test]
async fn a_renewed_token_is_used_from_the_next_request_on() {
    let scratch = tempfile::tempdir().unwrap();
    let watched = watched(scratch.path(), &CertificateAuthority::generate().unwrap()).await;
    watched.server.world().token = "renewed";
    let error = watched.cluster.service_account("n", "missing").await.unwrap_err().to_string();
    assert!(error.contains("the API server answered 401"), "{error}");
    watched.server.world().disconnect();
    watched.until("the old token is refused", troubled("401")).await;
    write(scratch.path(), "token", "renewed\n");
    assert_eq!(watched.cluster.service_account("n", "missing").await.unwrap(), None);
    watched.server.world().put_account("n", "new", Some("id"));
    watched.until_cached("new", Cached::Client("id".to_owned())).await;
}

#[tokio::test]
async fn a_renewed_authority_is_trusted_from_the_next_connection_on() {
    let scratch = tempfile::tempdir().unwrap();
    let mut watched = watched(scratch.path(), &CertificateAuthority::generate().unwrap()).await;
    let next = CertificateAuthority::generate().unwrap();
    serve_with(&watched.server, &next);
    watched.server.restart().await;
    watched.until("a stranger is not trusted", troubled("certificate")).await;
    let requests = watched.server.world().requests.len();
    assert!(watched.cluster.service_account("n", "missing").await.is_err());
    assert_eq!(watched.server.world().requests.len(), requests, "no token goes to a stranger");
    write(scratch.path(), "ca.crt", next.pem());
    watched.server.world().put_account("n", "new", Some("id"));
    watched.until_cached("new", Cached::Client("id".to_owned())).await;
    eventually("all is well", || async {
        watched.cluster.caches().iter().all(|cache| cache.trouble.is_none())
    })
    .await;
}
