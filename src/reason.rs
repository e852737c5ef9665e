//! Every code a user can meet: cause and fix. `docs/reasons.md` is generated from these tables.

mod commands;
mod doctor;
mod pipeline;
mod pod;
mod provider_class;
mod samples;
mod server;
mod skipped;

use keysluice_plan::reason::{INJECTOR, MANAGED_IDENTITY, OUTPUTS, Reason, VARIABLES};

pub use commands::*;
pub use doctor::*;
pub use pipeline::*;
pub use pod::*;
pub use provider_class::*;
pub use samples::{check, docs, sample};
pub use server::*;
pub use skipped::*;

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
        SKIPPED,
    ];
    let mut all: Vec<_> = tables.into_iter().flatten().collect();
    all.sort_by_key(|reason| reason.code);
    all.into_iter()
}

/// The reason with this code, in any case; `107` is `KS107`.
pub fn find(code: &str) -> Option<&'static Reason> {
    let number = code.get(..2).filter(|start| start.eq_ignore_ascii_case("KS"));
    let number = number.map_or(code, |_| &code[2..]);
    all().find(|reason| reason.code[2..] == *number)
}

/// What a table of events or a narrow terminal shows of a message.
pub const SHOWN_CHARS: usize = 120;
const HINT: &str = "; hint: ";

/// The beginning of a fix that is an instruction by itself: `create it in the pod's namespace`.
pub fn first_step(fix: &str) -> &str {
    let end = ["; ", ", ", " (", " or "].iter().filter_map(|end| fix.find(end)).min();
    let step = &fix[..end.unwrap_or(fix.len())];
    // `hostNetwork: true` is a value, a longer text an explanation.
    match step.split_once(": ") {
        Some((before, after)) if after.contains(' ') && !is_quoted(before) => before,
        _ => step,
    }
}

/// Whether a text ends within quotes.
fn is_quoted(text: &str) -> bool {
    text.matches('"').count() % 2 == 1
}

/// `KS207 cause; hint: fix` of a refusal, such that its first 120 characters say what is wrong and
/// what to do: where names are long or the cause needs many words, a summary comes first.
pub fn told(reason: Reason, cause_and_hint: &str) -> String {
    let shown = cause_and_hint.find(HINT).map(|at| {
        let hint = at + HINT.len();
        let step = first_step(&cause_and_hint[hint..]).len();
        cause_and_hint[..hint + step].chars().count()
    });
    let code = reason.code;
    if shown.is_some_and(|shown| code.len() + 1 + shown <= SHOWN_CHARS) {
        return format!("{code} {cause_and_hint}");
    }
    let (cause, step) = (reason.cause, first_step(reason.fix));
    format!("{code} {cause}: {step}; details: {cause_and_hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_an_instruction_by_itself() {
        for (fix, step) in [
            ("rename it", "rename it"),
            ("create it in the pod's namespace, or correct it", "create it in the pod's namespace"),
            ("remove hostNetwork: true, or use a signal", "remove hostNetwork: true"),
            (
                "let it run before Keysluice: they are called in order",
                "let it run before Keysluice",
            ),
            ("set a client id (on the ServiceAccount)", "set a client id"),
            ("write evict or rollout", "write evict"),
            (
                "write one \"field: value\" per line, indented",
                "write one \"field: value\" per line",
            ),
        ] {
            assert_eq!(first_step(fix), step);
        }
    }

    #[test]
    fn a_summary_comes_first_where_the_hint_would_come_late() {
        let short = "volume \"a\": no class; hint: create it in the pod's namespace, or correct it";
        assert_eq!(told(KS207, short), format!("KS207 {short}"));
        for long in [format!("volume {:?}: {short}", "é".repeat(253)), "no hint".to_owned()] {
            assert_eq!(
                told(KS207, &long),
                format!(
                    "KS207 the SecretProviderClass does not exist: create it in the pod's \
                     namespace; details: {long}"
                )
            );
        }
    }

    #[test]
    fn codes_are_unique_and_ascending() {
        let codes: Vec<_> = all().map(|reason| reason.code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for table in [PROVIDER_CLASS, POD, INJECTOR, SERVER, COMMANDS, DOCTOR, PIPELINE, SKIPPED] {
            assert!(table.is_sorted_by_key(|reason| reason.code));
        }
        for known in ["ks107", "KS107", "107"] {
            assert_eq!(find(known).map(|reason| reason.code), Some("KS107"), "{known}");
        }
        for unknown in ["KS999", "7", "", "KS", "é107", "KSKS107"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
