use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn written(value: &impl Serialize) -> String {
    let mut json = b"before".to_vec();
    append(&mut json, value).unwrap();
    String::from_utf8(json).unwrap().split_off("before".len())
}

#[test]
fn numbers_of_any_length() {
    for number in [0, 7, 10, 65_536, usize::MAX] {
        let mut json = Vec::new();
        append_number(&mut json, number);
        assert_eq!(json, number.to_string().as_bytes());
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sample<'a> {
    a_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<u8>,
    present: Option<i64>,
    pair: (bool, char),
    list: [&'a str; 1],
    map: BTreeMap<String, f64>,
    nothing: (),
}

#[test]
fn values_are_written_as_serde_json_writes_them() {
    let map = BTreeMap::from([("x\"y".to_owned(), 1.5), (String::new(), -0.0)]);
    let sample = Sample {
        a_name: "n",
        absent: None,
        present: Some(-3),
        pair: (true, '\n'),
        list: ["é"],
        map,
        nothing: (),
    };
    assert_eq!(written(&sample), serde_json::to_string(&sample).unwrap());
    let value = json!({"a": [1, -2, 3.25, null, true, {"b": {}}, []], "": "\u{1f}"});
    assert_eq!(written(&value), value.to_string());
}

#[test]
fn what_json_has_no_form_for_is_an_error() {
    let mut json = Vec::new();
    assert!(append(&mut json, &BTreeMap::from([(1, 2)])).is_err());
    assert!(append(&mut json, &Ok::<u8, u8>(1)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_written_as_serde_json_writes_it(text in "[\\PC\u{0}-\u{7f}\"\\\\\n]{0,70}") {
        prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
    }
}
