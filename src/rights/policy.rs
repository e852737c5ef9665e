//! The policy without which a right by name gives the token of any ServiceAccount of the
//! namespace.

use super::RightsError;
use crate::yaml;
use serde_json::Value;

/// Policy and binding, as they are applied.
pub const POLICY: &str = include_str!("../../webhook-config/secret-types.yaml");
/// Name of both.
pub const POLICY_NAME: &str = "keysluice-secret-types";

/// Looks whether policy and binding of a cluster refuse what ours refuse.
///
/// # Errors
/// [`RightsError::Unguarded`] names what is missing or different.
pub fn check_policy(policy: Option<&Value>, binding: Option<&Value>) -> Result<(), RightsError> {
    let unguarded = |problem: String| Err(RightsError::Unguarded { problem });
    let Some(policy) = policy else {
        return unguarded(format!("the ValidatingAdmissionPolicy {POLICY_NAME} is missing"));
    };
    let Some(binding) = binding else {
        return unguarded(format!("the binding of the policy {POLICY_NAME} is missing"));
    };
    if let Some(field) = difference(&expected()["spec"], &policy["spec"], "spec") {
        return unguarded(format!(
            "the ValidatingAdmissionPolicy {POLICY_NAME} differs from Keysluice's in {field}"
        ));
    }
    let actions = binding["spec"]["validationActions"].as_array().map_or(&[][..], Vec::as_slice);
    let denies = actions.iter().any(|action| action == "Deny");
    let is_whole =
        ["paramRef", "matchResources"].iter().all(|field| is_empty(&binding["spec"][field]));
    if !denies || !is_whole || binding["spec"]["policyName"] != POLICY_NAME {
        return unguarded(format!(
            "the binding of the policy {POLICY_NAME} does not deny everywhere"
        ));
    }
    Ok(())
}

/// The policy that we print.
fn expected() -> Value {
    let text = POLICY.split("\n---\n").next().unwrap_or_default();
    yaml::parse(text, 1).map(|parsed| parsed.value).unwrap_or_default()
}

/// The first field in which a policy could let more pass: another value, or a further restriction.
fn difference(expected: &Value, found: &Value, path: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(fields), Value::Object(others)) => {
            let further = others.iter().find(|(key, value)| {
                !fields.contains_key(*key) && !is_empty(value) && !is_default(key, value)
            });
            if let Some((key, _)) = further {
                return Some(format!("{path}.{key}"));
            }
            fields
                .iter()
                .find_map(|(key, value)| difference(value, &found[key], &format!("{path}.{key}")))
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(index, (item, other))| {
                difference(item, other, &format!("{path}[{index}]"))
            })
        }
        (Value::String(one), Value::String(other)) => {
            // What a message says refuses nothing.
            let is_same =
                path.ends_with(".message") || one.split_whitespace().eq(other.split_whitespace());
            (!is_same).then(|| path.to_owned())
        }
        (one, other) => (one != other).then(|| path.to_owned()),
    }
}

/// What the API server adds, and what matches no less.
fn is_default(key: &str, value: &Value) -> bool {
    key == "matchPolicy" || key == "scope" && value == "*"
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn both() -> (Value, Value) {
        let mut texts = POLICY.split("\n---\n");
        let mut next = || yaml::parse(texts.next().unwrap(), 1).unwrap().value;
        (next(), next())
    }

    #[test]
    fn the_policy_is_known_as_the_api_server_gives_it() {
        let (mut policy, mut binding) = both();
        policy["status"] = json!({"observedGeneration": 1});
        policy["spec"]["validations"][0]["message"] = json!("another text");
        binding["spec"]["validationActions"] = json!(["Deny", "Audit"]);
        assert_eq!(check_policy(Some(&policy), Some(&binding)), Ok(()));
    }

    #[test]
    fn the_policy_states_the_defaults_so_that_it_is_applied_beside_the_charts() {
        // Server-side apply compares the whole with what is stored, before it adds defaults.
        let constraints = &both().0["spec"]["matchConstraints"];
        let stored = json!({"matchPolicy": "Equivalent", "namespaceSelector": {},
            "objectSelector": {}, "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["secrets"], "scope": "*"}]});
        assert_eq!(*constraints, stored);
    }

    #[test]
    fn a_policy_that_lets_more_pass_is_not_taken_for_ours() {
        let (policy, binding) = both();
        for (at, value, field) in [
            ("/spec/failurePolicy", json!("Ignore"), "spec.failurePolicy"),
            ("/spec/matchConditions/0/expression", json!("false"), "matchConditions[0].expression"),
            ("/spec/validations/0/expression", json!("true"), "validations[0].expression"),
            (
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["UPDATE"]),
                "operations[0]",
            ),
            ("/spec/validations", json!([]), "spec.validations"),
        ] {
            let mut other = policy.clone();
            *other.pointer_mut(at).unwrap() = value;
            let error = check_policy(Some(&other), Some(&binding)).unwrap_err().to_string();
            assert!(error.starts_with("KS744 ") && error.contains(field), "{at}: {error}");
        }
        let mut narrow = policy.clone();
        narrow["spec"]["matchConstraints"]["namespaceSelector"] =
            json!({"matchLabels": {"a": "b"}});
        assert!(check_policy(Some(&narrow), Some(&binding)).is_err());
        for (field, value) in [
            ("validationActions", json!(["Warn"])),
            ("policyName", json!("other")),
            ("matchResources", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
            ("paramRef", json!({"name": "a"})),
        ] {
            let mut other = binding.clone();
            other["spec"][field] = value;
            assert!(check_policy(Some(&policy), Some(&other)).is_err(), "{field}");
        }
        assert!(check_policy(None, Some(&binding)).is_err());
        assert!(check_policy(Some(&policy), None).is_err());
    }
}
