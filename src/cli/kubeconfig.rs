//! The kubeconfig of a command that a user runs: as kubectl finds it.

use super::Failure;
use super::options::variable;
use anyhow::anyhow;
use std::path::PathBuf;

/// The given file, else that of `KUBECONFIG`, else `~/.kube/config`; `None` where there is none,
/// as in a pod.
pub(super) fn find(given: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    if given.is_some() {
        return Ok(given);
    }
    if let Some(list) = variable("KUBECONFIG") {
        return of_list(&list);
    }
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    Ok(home.filter(|path| path.is_file()))
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
