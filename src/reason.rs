//! Every code a user can meet: cause and fix. `docs/reasons.md` is generated from these tables.

mod commands;
mod doctor;
mod pipeline;
mod pod;
mod provider_class;
mod server;

use keysluice_plan::reason::{INJECTOR, MANAGED_IDENTITY, OUTPUTS, Reason, VARIABLES};

pub use commands::*;
pub use doctor::*;
pub use pipeline::*;
pub use pod::*;
pub use provider_class::*;
pub use server::*;

/// All reasons, in order of code.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    let tables = [
        PROVIDER_CLASS,
        POD,
        INJECTOR,
        OUTPUTS,
        VARIABLES,
        MANAGED_IDENTITY,
        SERVER,
        COMMANDS,
        DOCTOR,
        PIPELINE,
    ];
    let mut all: Vec<_> = tables.into_iter().flatten().collect();
    all.sort_by_key(|reason| reason.code);
    all.into_iter()
}

/// The reason with this code, in any case.
pub fn find(code: &str) -> Option<&'static Reason> {
    all().find(|reason| reason.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        let codes: Vec<_> = all().map(|reason| reason.code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for table in [PROVIDER_CLASS, POD, INJECTOR, SERVER, COMMANDS, DOCTOR, PIPELINE] {
            assert!(table.is_sorted_by_key(|reason| reason.code));
        }
        assert!(find("ks107").is_some() && find("KS999").is_none());
    }
}
