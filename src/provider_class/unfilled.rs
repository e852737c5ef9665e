//! Values that a guide, a template or a pipeline left unfilled, and the forms of ids.

/// Words that ask the reader for something, in capitals with whatever follows in capitals:
/// `YOUR_TENANT_ID`, `YOURTENANT`.
const ASKING: &[&str] = &["YOUR", "PLACEHOLDER", "FIXME"];
/// Words that right names begin with too (`ENTERPRISE-KV`, `TODO-API-KEY`): these ask alone, or
/// with one of the words of [`FOLLOWING`] behind them.
const ASKING_WITH: &[&str] = &["REPLACE", "CHANGE", "INSERT", "ENTER", "FILL", "TODO"];
const FOLLOWING: &[&str] = &["ME", "THIS", "WITH", "HERE", "YOUR", "IN"];

/// Whether a value that has letters, digits, hyphens and dots when it is right still waits for
/// being filled in: `<TENANT_ID>`, `${TENANT_ID}`, `$TENANT_ID`, `$(TENANT_ID)`, `${{ … }}`, `{{ …
/// }}`, `#{TENANT_ID}#`, `__TENANT_ID__`, `%TENANT_ID%`, `@TENANT_ID@`, `[TENANT_ID]`,
/// `xxxxxxxx-xxxx`, `YOUR_TENANT_ID`, `REPLACE_ME`.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let angles =
        value.find('<').zip(value.rfind('>')).is_some_and(|(open, close)| open + 1 < close);
    let crosses = value.len() > 2 && value.bytes().all(|byte| matches!(byte, b'x' | b'X' | b'-'));
    angles
        || [('%', '%'), ('@', '@'), ('[', ']'), ('(', ')'), ('{', '}')]
            .iter()
            .any(|(open, close)| is_within(value, *open, *close))
        || value.matches("__").count() > 1
        || crosses
        || ["$", "{{", "#{", "<%"].iter().any(|mark| value.contains(mark))
        || ASKING.iter().any(|word| asks(value, word, is_no_word))
        || ASKING_WITH.iter().any(|word| asks(value, word, is_following))
}

/// Whether something stands between these, other than an id: ids of Windows come in braces.
fn is_within(value: &str, open: char, close: char) -> bool {
    let inner = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    inner.is_some_and(|inner| !inner.is_empty() && !is_guid(inner))
}

/// Whether the value begins with this word, in capitals alone or with what `follows`, or in any
/// case with the underscore that no right value has.
fn asks(value: &str, word: &str, follows: fn(&str) -> bool) -> bool {
    let (start, rest) = value.split_at_checked(word.len()).unwrap_or_default();
    let capital = start == word && (rest.is_empty() || follows(rest));
    capital || (start.eq_ignore_ascii_case(word) && rest.starts_with(['_', ' ']))
}

fn is_no_word(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether one of the words comes next, as a word or before `YOUR`: not `REPLACEMENT`.
fn is_following(rest: &str) -> bool {
    let rest = rest.trim_start_matches('-');
    FOLLOWING.iter().any(|word| {
        rest.strip_prefix(word).is_some_and(|after| {
            !after.starts_with(|c: char| c.is_ascii_alphanumeric()) || after.starts_with("YOUR")
        })
    })
}

/// Whether this has the form of a client or tenant id.
pub(crate) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a tenant is named by an id, by a domain, or as AD FS is.
pub(crate) fn is_tenant(text: &str) -> bool {
    is_guid(text) || text.contains('.') || text == "adfs"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_every_kind_are_known_and_values_are_not() {
        for value in [
            "<TENANT_ID>",
            "${TENANT_ID}",
            "$TENANT_ID",
            "$(TENANT_ID)",
            "${{ secrets.TENANT }}",
            "{{ .Values.tenant }}",
            "#{TENANT_ID}#",
            "__TENANT_ID__",
            "__x__",
            "$x",
            "%TENANT_ID%",
            "@TENANT_ID@",
            "[TENANT_ID]",
            "YOUR_TENANT_ID",
            "YOUR-TENANT",
            "YOURTENANT",
            "your_tenant",
            "REPLACE_ME",
            "REPLACEME",
            "replace_me",
            "CHANGEME",
            "TODO",
            "kv-${ENV}",
            "kv-$ENV",
            "kv-{{ env }}",
            "kv-<env>",
            "kv-__ENV__",
            "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "<your tenant>",
            "INSERT_ID_HERE",
            "REPLACE-WITH-YOUR-VAULT",
            "REPLACEWITHYOURVAULT",
            "INSERT-HERE",
            "CHANGE-THIS",
            "FILL-IN",
            "ENTER-YOUR-ID",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in [
            "",
            "kv-1",
            "x",
            "xx1",
            "{8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8}",
            "Your-company-kv",
            "yourcompany",
            "replacements-kv",
            "Change-kv",
            "todo-app",
            "ENTERPRISE-KV",
            "ENTERPRISE-LICENSE-KEY",
            "TODO-API-KEY",
            "CHANGE-FEED-KEY",
            "CHANGELOG-TOKEN",
            "REPLACEMENT-KV",
            "INSERTION-SORT",
            "FILLING-STATION",
            "ENTERING",
            "INSERT-INDEX",
            "a_b",
            "_x_",
            "<",
            "%",
            "contoso.onmicrosoft.com",
            "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8",
            "AzurePublicCloud",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
