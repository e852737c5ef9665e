//! A Plan of somebody else's, and the path of a JSON field: refused, or read as it is written.

#![no_main]

use keysluice_plan::{JsonPath, Plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(plan) = Plan::from_json(text) {
        let written = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&written).unwrap(), plan);
    }
    if let Ok(path) = text.parse::<JsonPath>() {
        assert!(!path.steps().is_empty());
        assert_eq!(path.to_string(), text);
    }
});
