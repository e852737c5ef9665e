//! What changes between two objects, as a coloured diff of their YAML.

use super::terminal::Style;
use keysluice_plan::PLAN_ENV;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

const CONTEXT_LINES: usize = 2;

/// The lines that differ with two around them; the Plan in the sidecar's environment is shortened.
pub(super) fn diff(before: &Value, after: &Value, style: Style) -> String {
    let (before, after) = (yaml(before), yaml(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut text = String::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            text += "    ⋮\n";
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (sign, color) = match change.tag() {
                ChangeTag::Delete => ('-', style.removed),
                ChangeTag::Insert => ('+', style.added),
                ChangeTag::Equal => (' ', ""),
            };
            let reset = if color.is_empty() { "" } else { style.reset };
            text += &format!("  {color}{sign} {}{reset}\n", change.value().trim_end_matches('\n'));
        }
    }
    text
}

fn yaml(value: &Value) -> String {
    let mut value = value.clone();
    shorten_plan(&mut value);
    crate::yaml::write(&value)
}

fn shorten_plan(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let plan_bytes = map.get("value").and_then(Value::as_str).map(str::len);
            if let (Some(true), Some(bytes)) =
                (map.get("name").map(|name| name == PLAN_ENV), plan_bytes)
            {
                map.insert(
                    "value".to_owned(),
                    format!("(the Plan, {bytes} bytes of JSON; -o patch shows it)").into(),
                );
            }
            map.values_mut().for_each(shorten_plan);
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_plan),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_shown_and_the_plan_is_shortened() {
        let before = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "list": [{"name": "x"}]});
        let mut after = before.clone();
        after["list"].as_array_mut().unwrap().push(json!({"name": PLAN_ENV, "value": "{}"}));
        let text = diff(&before, &after, Style::PLAIN);
        assert!(
            text.contains("+ ")
                && text.contains("(the Plan, 2 bytes of JSON")
                && !text.contains("a: 1"),
            "{text}"
        );
        assert!(diff(&before, &after, Style::COLORED).contains("\x1b[32m+"));
    }
}
