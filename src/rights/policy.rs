//! The policies without which a right is more than it should be: a Secret by name gives the token
//! of any ServiceAccount of the namespace, an eviction that of any pod, a patch the whole workload.

use super::RightsError;
use crate::yaml;
use serde_json::Value;

/// Policy for Secrets by name, and its binding.
pub const SECRET_TYPES: &str = "keysluice-secret-types";
/// Policy for evictions, and its binding.
pub const EVICTIONS: &str = "keysluice-evictions";
/// Policy for rollouts, and its binding.
pub const ROLLOUTS: &str = "keysluice-rollouts";

/// Policies and bindings as they are applied, by file.
pub const POLICIES: [(&str, &[&str]); 2] = [
    (include_str!("../../webhook-config/secret-types.yaml"), &[SECRET_TYPES]),
    (include_str!("../../webhook-config/reaction-rights.yaml"), &[EVICTIONS, ROLLOUTS]),
];

/// Looks whether the policy of this name and its binding refuse in a cluster what ours refuse.
///
/// # Errors
/// [`RightsError::Unguarded`] or [`RightsError::Unbounded`] names what is missing or different.
pub fn check_policy(
    name: &str,
    policy: Option<&Value>,
    binding: Option<&Value>,
) -> Result<(), RightsError> {
    match problem_of(name, policy, binding) {
        Some(problem) => Err(RightsError::without_policy(name, problem)),
        None => Ok(()),
    }
}

fn problem_of(name: &str, policy: Option<&Value>, binding: Option<&Value>) -> Option<String> {
    let Some(policy) = policy else {
        return Some(format!("the ValidatingAdmissionPolicy {name} is missing"));
    };
    let Some(binding) = binding else {
        return Some(format!("the binding of the policy {name} is missing"));
    };
    if let Some(field) = difference(&expected(name)["spec"], &policy["spec"], "spec") {
        return Some(format!(
            "the ValidatingAdmissionPolicy {name} differs from Keysluice's in {field}"
        ));
    }
    let actions = binding["spec"]["validationActions"].as_array().map_or(&[][..], Vec::as_slice);
    let denies = actions.iter().any(|action| action == "Deny");
    let is_whole =
        ["paramRef", "matchResources"].iter().all(|field| is_empty(&binding["spec"][field]));
    let is_in_force = denies && is_whole && binding["spec"]["policyName"] == name;
    (!is_in_force).then(|| format!("the binding of the policy {name} does not deny everywhere"))
}

impl RightsError {
    /// That a policy does not bound a right.
    pub fn without_policy(name: &str, problem: String) -> Self {
        if name == SECRET_TYPES { Self::Unguarded { problem } } else { Self::Unbounded { problem } }
    }
}

/// The policy that we print.
fn expected(name: &str) -> Value {
    let texts = POLICIES.iter().flat_map(|(text, _)| text.split("\n---\n"));
    let mut documents =
        texts.filter_map(|text| yaml::parse(text, 1).ok().map(|parsed| parsed.value));
    documents
        .find(|one| one["metadata"]["name"] == name && one["kind"] == "ValidatingAdmissionPolicy")
        .unwrap_or_default()
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
        let mut documents = documents(POLICIES[0].0).into_iter();
        (documents.next().unwrap(), documents.next().unwrap())
    }

    fn documents(text: &str) -> Vec<Value> {
        text.split("\n---\n").map(|text| yaml::parse(text, 1).unwrap().value).collect()
    }

    #[test]
    fn the_policy_is_known_as_the_api_server_gives_it() {
        let (mut policy, mut binding) = both();
        policy["status"] = json!({"observedGeneration": 1});
        policy["spec"]["validations"][0]["message"] = json!("another text");
        binding["spec"]["validationActions"] = json!(["Deny", "Audit"]);
        assert_eq!(check_policy(SECRET_TYPES, Some(&policy), Some(&binding)), Ok(()));
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
            let error =
                check_policy(SECRET_TYPES, Some(&other), Some(&binding)).unwrap_err().to_string();
            assert!(error.starts_with("KS744 ") && error.contains(field), "{at}: {error}");
        }
        let mut narrow = policy.clone();
        narrow["spec"]["matchConstraints"]["namespaceSelector"] =
            json!({"matchLabels": {"a": "b"}});
        assert!(check_policy(SECRET_TYPES, Some(&narrow), Some(&binding)).is_err());
        for (field, value) in [
            ("validationActions", json!(["Warn"])),
            ("policyName", json!("other")),
            ("matchResources", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
            ("paramRef", json!({"name": "a"})),
        ] {
            let mut other = binding.clone();
            other["spec"][field] = value;
            assert!(check_policy(SECRET_TYPES, Some(&policy), Some(&other)).is_err(), "{field}");
        }
        assert!(check_policy(SECRET_TYPES, None, Some(&binding)).is_err());
        assert!(check_policy(SECRET_TYPES, Some(&policy), None).is_err());
    }

    #[test]
    fn each_policy_is_known_by_its_name_and_its_absence_has_its_code() {
        for (text, names) in POLICIES {
            for name in names {
                let mut ours = documents(text);
                ours.retain(|one| one["metadata"]["name"] == *name);
                let [policy, binding] = &ours[..] else { panic!("{name}") };
                assert_eq!(check_policy(name, Some(policy), Some(binding)), Ok(()), "{name}");
                let mut other = policy.clone();
                other["spec"]["matchConditions"][0]["expression"] = json!("false");
                let code = if *name == SECRET_TYPES { "KS744 " } else { "KS752 " };
                for missing in [Some(&other), None] {
                    let error = check_policy(name, missing, Some(binding)).unwrap_err();
                    assert!(error.to_string().starts_with(code), "{error}");
                }
            }
        }
    }
}
