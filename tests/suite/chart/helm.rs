//! `helm template` on the chart.

use crate::suite::chart::manifests::documents;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const NAMESPACE: &str = "keysluice-system";

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Helm, if somebody built it: minutes of work, and Go, are not part of `make test`.
pub(crate) struct Helm(PathBuf);

impl Helm {
    pub(crate) fn find(test: &str) -> Option<Self> {
        let output = Command::new(root().join("scripts/helm")).arg("--path").output().unwrap();
        if !output.status.success() {
            assert!(std::env::var_os("KEYSLUICE_NEED_HELM").is_none(), "Helm is not built");
            eprintln!("SKIPPED {test}: Helm is not built; `make lint-chart` builds it");
            return None;
        }
        Some(Self(String::from_utf8(output.stdout).unwrap().trim().into()))
    }

    pub(crate) fn template(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.0);
        command.args(["template", "keysluice", "webhook-config/chart", "--namespace", NAMESPACE]);
        // Whatever cluster the developer is connected to has no say here.
        command.current_dir(root()).env("KUBECONFIG", "/dev/null").args(arguments).output().unwrap()
    }

    pub(crate) fn rendered(&self, arguments: &[&str]) -> String {
        let output = self.template(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn documents(&self, arguments: &[&str]) -> Vec<Value> {
        documents(&self.rendered(arguments))
    }
}
