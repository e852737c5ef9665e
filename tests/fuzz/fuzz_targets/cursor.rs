//! The cursor accepts what `serde_json` accepts, and reads the same strings and numbers.

#![no_main]

use keysluice::json::{self, Present, Quantity, StringMap, Text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let theirs = serde_json::from_slice::<Value>(bytes);
    if json::from_slice::<Present>(bytes).is_err() {
        // Not the other way round: of what is skipped only the end is looked for.
        assert!(theirs.is_err(), "a document is refused");
    }
    match theirs {
        Ok(Value::String(text)) => assert_eq!(*json::from_slice::<Text<'_>>(bytes).unwrap(), *text),
        Ok(Value::Number(number)) if number.is_i64() && !bytes.contains(&b'.') => {
            assert_eq!(json::from_slice::<i64>(bytes).ok(), number.as_i64());
        }
        Ok(Value::Number(_)) => assert!(json::from_slice::<Quantity<'_>>(bytes).is_ok()),
        Ok(Value::Object(map)) if map.values().all(Value::is_string) => {
            let ours = json::from_slice::<StringMap<'_>>(bytes).unwrap();
            assert!(map.iter().all(|(key, value)| ours.find(key) == value.as_str()));
        }
        Ok(_) => {}
        Err(_) => {
            assert!(json::from_slice::<Text<'_>>(bytes).is_err() && json::from_slice::<i64>(bytes).is_err());
        }
    }
});
