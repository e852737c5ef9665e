//! A copy of this program for the containers of the pod that start with `exec`.

use crate::fault::{Class, Fault};
use crate::plan_source::below;
use keysluice_plan::Plan;
use keysluice_plan::reason::KS676;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Its name in the directory of the Plan.
const NAME: &str = "keysluice-injector";
const TEMPORARY: &str = ".keysluice-injector.new";

/// Puts the copy into the directory of the Plan, if it names one. A copy of an earlier start is
/// replaced in one step: a container may start from it at any time.
///
/// # Errors
/// KS676 where it cannot be written.
pub(crate) fn install(plan: &Plan, root: &Path) -> Result<(), Fault> {
    let Some(directory) = &plan.program_directory else { return Ok(()) };
    let directory = below(root, directory);
    copy(&directory).map_err(|error| {
        let path = directory.join(NAME);
        Fault::new(KS676, Class::Transient, format_args!("{}: {error}", path.display()))
    })
}

fn copy(directory: &Path) -> io::Result<()> {
    let temporary = directory.join(TEMPORARY);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut program = File::open("/proc/self/exe")?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o555).open(&temporary)?;
    io::copy(&mut program, &mut copy)?;
    // A program that is open for writing cannot be started.
    drop(copy);
    std::fs::rename(temporary, directory.join(NAME))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the files of tests have no other reader")]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_an_earlier_one_and_a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan: Plan =
            serde_json::from_str(r#"{"schema": 1, "identities": [], "volumes": []}"#).unwrap();
        install(&plan, directory.path()).unwrap();
        plan.program_directory = Some("/bin".to_owned());
        let fault = install(&plan, directory.path()).unwrap_err();
        assert!(
            fault.to_string().starts_with("KS676 ") && fault.message.contains("/bin"),
            "{fault}"
        );
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        let copy = directory.path().join("bin").join(NAME);
        for _ in 0..2 {
            install(&plan, directory.path()).unwrap();
            let own = std::fs::metadata(std::env::current_exe().unwrap()).unwrap().len();
            assert_eq!(std::fs::metadata(&copy).unwrap().len(), own);
            std::fs::write(directory.path().join("bin").join(TEMPORARY), "left").unwrap();
        }
    }
}
