//! A registry on the loopback that containerd takes for every other one: images that manifests name
//! and nobody loaded.
//!
//! It serves directories in OCI's image layout, `DIRECTORY/library/busybox/{index.json,blobs}`,
//! under any tag.

use crate::layout::REGISTRY_PORT;
use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Serves the images below `directory`, for ever.
pub async fn serve(directory: PathBuf) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, REGISTRY_PORT))
        .await
        .context("listening for pulls")?;
    axum::serve(listener, router(directory)).await.context("the registry")
}

fn router(directory: PathBuf) -> Router {
    Router::new()
        .route("/v2/", get(|| async { StatusCode::OK }))
        .route("/v2/{*path}", get(find))
        .with_state(directory)
}

/// `NAME/manifests/TAG-OR-DIGEST` and `NAME/blobs/DIGEST`; a name has slashes itself.
async fn find(State(directory): State<PathBuf>, Segments(path): Segments<String>) -> Response {
    let mut parts = path.rsplitn(3, '/');
    let found = match (parts.next(), parts.next(), parts.next()) {
        (Some(reference), Some("manifests"), Some(name)) => {
            manifest(&directory.join(plain(name)), reference)
        }
        (Some(digest), Some("blobs"), Some(name)) => blob(&directory.join(plain(name)), digest)
            .map(|bytes| {
                ([(header::CONTENT_TYPE, "application/octet-stream".to_owned())], bytes)
                    .into_response()
            }),
        _ => None,
    };
    found.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn manifest(image: &Path, reference: &str) -> Option<Response> {
    let digest = if reference.contains(':') {
        reference.to_owned()
    } else {
        let index: Value =
            serde_json::from_slice(&std::fs::read(image.join("index.json")).ok()?).ok()?;
        index["manifests"][0]["digest"].as_str()?.to_owned()
    };
    let bytes = blob(image, &digest)?;
    let manifest: Value = serde_json::from_slice(&bytes).ok()?;
    let kind = manifest["mediaType"]
        .as_str()
        .unwrap_or("application/vnd.oci.image.manifest.v1+json")
        .to_owned();
    Some(([("content-type", kind), ("docker-content-digest", digest)], bytes).into_response())
}

fn blob(image: &Path, digest: &str) -> Option<Vec<u8>> {
    let hash = digest
        .strip_prefix("sha256:")
        .filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    std::fs::read(image.join("blobs/sha256").join(hash)).ok()
}

/// A name of ours; another would lead out of the directory.
fn plain(name: &str) -> &str {
    if name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')) {
        name
    } else {
        "none"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pull_goes_from_tag_to_manifest_to_blobs_and_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("library/busybox");
        let blobs = image.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(image.join("index.json"), r#"{"manifests":[{"digest":"sha256:ab"}]}"#)
            .unwrap();
        std::fs::write(blobs.join("ab"), r#"{"mediaType":"some/type"}"#).unwrap();
        std::fs::write(directory.path().join("secret"), "canary").unwrap();
        for (path, status, kind) in [
            ("library/busybox/manifests/latest", 200, "some/type"),
            ("library/busybox/manifests/1.36", 200, "some/type"),
            ("library/busybox/manifests/sha256:ab", 200, "some/type"),
            ("library/busybox/blobs/sha256:ab", 200, "application/octet-stream"),
            ("library/busybox/blobs/sha256:cd", 404, ""),
            ("library/busybox/blobs/sha256:../../../../secret", 404, ""),
            ("library/../library/busybox/blobs/sha256:ab", 404, ""),
            ("library/other/manifests/latest", 404, ""),
            ("library/busybox", 404, ""),
        ] {
            let reply = find(State(directory.path().to_owned()), Segments(path.to_owned())).await;
            let found =
                reply.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap());
            assert_eq!((reply.status().as_u16(), found), (status, kind), "{path}");
        }
    }
}
