//! A message with each code, and the command that looks into it.

use keysluice_plan::reason::Reason;

/// One line a code: the code, and a message as users meet it, without its hint.
const SAMPLES: &str = include_str!("samples.txt");

/// A message with this code, without its hint.
pub fn sample(reason: &Reason) -> Option<&'static str> {
    let mut lines = SAMPLES.lines();
    lines.find(|line| line.split_once(' ').is_some_and(|(code, _)| code == reason.code))
}

/// The command that shows whether the cause is there, and more of it. Words in capitals are to be
/// replaced.
pub fn check(reason: &Reason) -> &'static str {
    let number = reason.code.trim_start_matches("KS").parse::<u16>().unwrap_or_default();
    match number {
        202 | 250 | 255 | 256 | 276 => "kubectl get serviceaccount NAME -n NAMESPACE --output yaml",
        207 => "kubectl get secretproviderclasses -n NAMESPACE",
        511..=516 | 701..=703 | 706..=716 => {
            "kubectl logs -n keysluice-system deployment/keysluice"
        }
        603 => "kubectl describe pod POD -n NAMESPACE",
        704 | 705 | 736..=739 | 100..=299 => "keysluice explain -f FILE",
        720..=723 | 726 | 748..=750 => "kubectl get events -n NAMESPACE",
        724 | 740..=747 | 751..=753 => "keysluice rbac -n NAMESPACE",
        725 | 727..=733 | 754 => "keysluice doctor --pre",
        755 | 756 => "keysluice jwks FILE",
        757..=761 => "keysluice azure -f FILE",
        762..=770 => "keysluice migrate --check",
        771..=774 => "keysluice audit --help",
        790..=799 => "keysluice fetch --help",
        300..=699 => "kubectl exec POD -n NAMESPACE -c keysluice -- /keysluice-injector status",
        _ => "keysluice doctor",
    }
}

/// The URL of the page that describes the code.
pub fn docs(reason: &Reason) -> String {
    const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/reasons.md");
    format!("{PAGE}#{}", reason.code.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::all;

    #[test]
    fn every_code_has_one_sample_and_no_sample_is_of_another_code() {
        let codes: Vec<_> = all().map(|reason| reason.code).collect();
        let sampled: Vec<_> = SAMPLES.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(sampled, codes, "src/reason/samples.txt has a line for each code, in order");
        for line in SAMPLES.lines() {
            assert!(line.len() > "KS000 ".len() + 5 && !line.contains("; hint: "), "{line}");
            assert!(!line.contains(['{', '}']) || line.contains("u{200b}"), "{line}");
        }
    }
}
