//! The kubeconfig of a command that a user runs: as kubectl finds it. What to do where the API
//! server of it does not answer.

use super::Failure;
use super::options::variable;
use crate::cluster::api::ApiError;
use crate::reason::KS705;
use anyhow::anyhow;
use std::path::{Path, PathBuf};

/// What tells a pod of its API server.
const POD_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// The given file, else that of `KUBECONFIG`, else `~/.kube/config`; `None` in a pod.
///
/// # Errors
/// Outside of a pod, where there is no such file.
pub(super) fn find(given: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    if given.is_some() {
        return Ok(given);
    }
    if let Some(list) = variable("KUBECONFIG") {
        return of_list(&list);
    }
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    if let Some(home) = home.as_ref().filter(|path| path.is_file()) {
        return Ok(Some(home.clone()));
    }
    if variable(POD_VARIABLE).is_some() {
        return Ok(None);
    }
    Err(Failure::usage(anyhow!(not_found(home.as_deref()))))
}

/// Where a kubeconfig was looked for.
fn not_found(home: Option<&Path>) -> String {
    let home = match home {
        Some(path) => format!("{} is not a file", path.display()),
        None => "~/.kube/config has no home directory (HOME is not set)".to_owned(),
    };
    format!(
        "{KS705} no API server to ask: KUBECONFIG is not set, {home}, and this is not a pod \
         ({POD_VARIABLE} is not set); hint: name a kubeconfig with --kubeconfig FILE or KUBECONFIG"
    )
}

/// The text of an error, with code and hint where the API server is its cause.
pub(super) fn explained(error: &anyhow::Error, told: String) -> String {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<ApiError>());
    match cause.and_then(ApiError::hint) {
        Some(hint) if !told.contains("; hint: ") => {
            let code = if told.starts_with("KS") { String::new() } else { format!("{KS705} ") };
            format!("{code}{told}; hint: {hint}")
        }
        _ => told,
    }
}

/// `KUBECONFIG` may name several files, which kubectl merges.
fn of_list(list: &str) -> Result<Option<PathBuf>, Failure> {
    let paths: Vec<PathBuf> =
        std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
    let existing: Vec<&PathBuf> = paths.iter().filter(|path| path.is_file()).collect();
    match (existing.as_slice(), paths.first()) {
        ([one], _) => Ok(Some((*one).clone())),
        // The error of reading it names it.
        ([], first) => Ok(first.cloned()),
        _ => Err(Failure::usage(anyhow!(
            "KUBECONFIG names several files; hint: merge them (kubectl config view --flatten --raw \
             > FILE) and name the result with --kubeconfig FILE"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_that_were_searched_are_named() {
        let text = not_found(Some(Path::new("/home/x/.kube/config")));
        assert!(text.starts_with("KS705 no API server to ask: KUBECONFIG is not set, "), "{text}");
        assert!(text.contains("/home/x/.kube/config is not a file"), "{text}");
        assert!(not_found(None).contains("HOME is not set"));
        assert!(!text.contains("--objects"), "{text}");
    }

    #[test]
    fn an_error_of_the_api_server_has_a_code_and_a_hint() {
        let refused = |status| ApiError::Refused {
            server: None,
            status,
            message: "no".to_owned(),
            retry_after: None,
        };
        for (error, expected) in [
            (anyhow::Error::from(refused(500)), "KS705 x; hint: run the command again "),
            (anyhow::Error::from(refused(401)).context("KS1"), "KS705 x; hint: sign in again; "),
            (anyhow::Error::from(refused(403)), "x"),
            (anyhow!("other"), "x"),
        ] {
            let told = explained(&error, "x".to_owned());
            assert!(told.starts_with(expected), "{told}");
            assert_eq!(told.contains("hint"), expected.contains("hint"), "{told}");
        }
        let error = anyhow::Error::from(refused(500));
        assert_eq!(explained(&error, "KS1 x; hint: y".to_owned()), "KS1 x; hint: y");
        assert!(explained(&error, "KS1 x".to_owned()).starts_with("KS1 x; hint: "));
    }

    #[test]
    fn of_several_files_one_may_exist() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        let list = format!("{}:{}", two.display(), one.display());
        assert_eq!(of_list(&list).ok().flatten(), Some(two.clone()));
        std::fs::File::create(&one).unwrap();
        assert_eq!(of_list(&list).ok().flatten(), Some(one.clone()));
        std::fs::File::create(&two).unwrap();
        assert!(of_list(&list).is_err());
    }
}
