//! References to variables in values, as Kubernetes expands them.

/// Whether a value expands a variable by `$(NAME)`; `$$(NAME)` is an escape (Kubernetes
/// `expansion.Expand`).
pub(super) fn refers_to(value: &str, name: &str) -> bool {
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let after = rest[at..].trim_start_matches('$');
        let dollars = rest.len() - at - after.len();
        let named = after.strip_prefix('(').and_then(|after| after.strip_prefix(name));
        if dollars % 2 == 1 && named.is_some_and(|after| after.starts_with(')')) {
            return true;
        }
        rest = after;
    }
    false
}
