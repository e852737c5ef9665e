//! Which variable a file is, and which names no variable may have. Pure.

use super::error::{Cause, FetchError};
use crate::inline::name_of;
use keysluice_plan::VariableName;
use std::collections::BTreeMap;

/// What changes how programs start; a secret under such a name is a mistake, or an attack of the
/// one who may edit the class.
const DANGEROUS: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
];
const DANGEROUS_PREFIXES: &[&str] = &["LD_", "DYLD_", "BASH_FUNC_"];
/// The runner of GitHub ignores or refuses these in `GITHUB_ENV`.
const OF_GITHUB: &[&str] = &["GITHUB_", "RUNNER_", "ACTIONS_"];
/// Settings of this program and the injector.
const OWN: &str = "KEYSLUICE_";

/// The names that references give.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// The file at `path` is the variable `name`.
    pub(super) fn give(&mut self, path: &str, name: &str) {
        self.0.insert(path.to_owned(), name.to_owned());
    }

    /// The variables of these files, each once. `for_github` is for `GITHUB_ENV`.
    pub(super) fn of<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p str>,
        for_github: bool,
    ) -> Result<Vec<VariableName>, FetchError> {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        let mut names = Vec::new();
        for path in paths {
            let name = self.0.get(path).cloned().unwrap_or_else(|| name_of(path));
            let variable: VariableName =
                name.parse().map_err(|source| Cause::Name { path: path.to_owned(), source })?;
            if let Some(problem) = refused(&name, for_github) {
                return Err(Cause::Refused { path: path.to_owned(), name, problem }.into());
            }
            if let Some(other) = taken.insert(name.clone(), path) {
                let (path, other) = (path.to_owned(), other.to_owned());
                return Err(Cause::Twice { path, other, name }.into());
            }
            names.push(variable);
        }
        Ok(names)
    }
}

/// The runner compares names without case.
fn refused(name: &str, for_github: bool) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    if DANGEROUS.contains(&name.as_str()) || begins_with_any(&name, DANGEROUS_PREFIXES) {
        return Some("it changes how programs start");
    }
    if name.starts_with(OWN) {
        return Some("names that begin with KEYSLUICE_ are settings of Keysluice");
    }
    (for_github && begins_with_any(&name, OF_GITHUB))
        .then_some("the runner keeps GITHUB_, RUNNER_ and ACTIONS_ for itself")
}

fn begins_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str], for_github: bool) -> Result<Vec<String>, String> {
        let names = Names::default().of(paths.iter().copied(), for_github);
        let names = names.map_err(|error| error.to_string())?;
        Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
    }

    #[test]
    fn a_file_is_the_variable_of_its_name_in_upper_case_and_a_given_name_stays() {
        assert_eq!(
            of(&["db-password", "tls.crt", "a/b"], true).unwrap(),
            ["DB_PASSWORD", "TLS_CRT", "A_B"]
        );
        let mut names = Names::default();
        names.give("x", "lower");
        assert_eq!(names.of(["x"], true).unwrap()[0].as_str(), "lower");
    }

    #[test]
    fn names_that_are_no_variables_dangerous_or_twice_are_refused_with_ks794() {
        for (paths, expected) in [
            (&["1x"][..], "KS794 1x: \"1X\" is not a name of an environment variable"),
            (&["ä"], "is not a name of an environment variable"),
            (&["ld-preload"], "KS794 ld-preload: LD_PRELOAD cannot be set: it changes"),
            (&["path"], "PATH cannot be set"),
            (&["node-options"], "NODE_OPTIONS cannot be set"),
            (&["keysluice-plan"], "are settings of Keysluice"),
            (&["github-token"], "the runner keeps GITHUB_"),
            (&["runner-temp"], "the runner keeps"),
            (&["a-b", "a.b"], "KS794 a.b and a-b both make the variable A_B"),
        ] {
            let error = of(paths, true).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(of(&["github-token"], false).is_ok(), "a command may need it");
    }
}
