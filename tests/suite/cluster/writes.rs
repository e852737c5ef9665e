//! Writes: none is sent twice, and each names the version it changes.

use crate::suite::support::api_server::{ApiServer, SECRETS};
use http::Method;
use keysluice::cluster::api::{CertificateSecret, Client};
use keysluice_certs::{Data, SecretStore as _, StoreError};
use serde_json::json;
use std::time::Duration;

fn secret(server: &ApiServer) -> CertificateSecret {
    let scratch = tempfile::tempdir().unwrap();
    let client = Client::connect(Some(&server.kubeconfig(scratch.path()))).unwrap();
    CertificateSecret::new(client, "keysluice/tls".parse().unwrap())
}

fn writes(server: &ApiServer) -> usize {
    server.world().methods.iter().filter(|method| **method != Method::GET).count()
}

/// A second copy would meet 409, and the caller would take its own write for another replica's.
#[tokio::test]
async fn a_write_that_is_answered_late_is_sent_once() {
    let server = ApiServer::start();
    server.world().put(SECRETS, json!({"metadata": {"name": "tls", "namespace": "keysluice"}}));
    let secret = secret(&server);
    let stored = secret.read().await.unwrap().unwrap();
    // Longer than an idle connection may be silent to a read.
    server.world().write_delay = Duration::from_millis(1500);
    secret.write(&Data::default(), Some(&stored.version)).await.unwrap();
    assert_eq!(writes(&server), 1);
    let stale = secret.write(&Data::default(), Some(&stored.version)).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict), "{stale}");
    assert_eq!(writes(&server), 2);
}

#[tokio::test]
async fn a_write_on_a_connection_that_breaks_is_not_repeated() {
    let mut server = ApiServer::start();
    server.world().put(SECRETS, json!({"metadata": {"name": "tls", "namespace": "keysluice"}}));
    let secret = secret(&server);
    let stored = secret.read().await.unwrap().unwrap();
    server.world().write_delay = Duration::from_secs(60);
    let write = async { secret.write(&Data::default(), Some(&stored.version)).await };
    let broken = async {
        while writes(&server) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.restart().await;
    };
    let (written, ()) = tokio::join!(write, broken);
    assert!(matches!(written.unwrap_err(), StoreError::Failed(_)));
    assert_eq!(writes(&server), 1);
}
