//! Whatever a stranger writes.

use super::*;
use proptest::prelude::*;

/// Text that looks enough like an `objects` document to get past the first check.
fn document() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "array:",
        "\n",
        "\n  - |\n    ",
        "\n    ",
        "- ",
        "objectName: ",
        "objectType: ",
        "secret",
        "key",
        "cert",
        "objectAlias: ",
        "objectVersionHistory: ",
        "parts: ",
        "jsonKey: ",
        "optional: ",
        "fileOwner: ",
        "vaultUrl: ",
        "namePrefix: ",
        "tags: ",
        "directory: ",
        "filePermission: ",
        "0640",
        "9e99",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "~",
        "\t",
        "\r\n",
        "#",
        "!!int ",
        "!x ",
        ">",
        "<<: ",
        "---",
        "...",
        "a/b",
        "ü",
        "\u{0}",
        ": ",
        ", ",
        "? ",
        "%",
        "\\",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn on_any_parameters(
        vault in ".{0,30}", tenant in ".{0,10}", client in ".{0,10}", cloud in ".{0,10}", interval in "[0-9.µa-z+-]{0,12}",
        objects in prop_oneof![document(), any::<String>()], select in prop_oneof![document(), any::<String>()], key in any::<String>(),
    ) {
        let parameters = [
            ("keyvaultName", vault.as_str()), ("tenantID", &tenant), ("clientID", &client), ("cloudName", &cloud),
            ("refreshInterval", &interval), (key.as_str(), &objects), ("objects", &objects), ("select", &select),
        ];
        let _ = bare(&class(&parameters)).map_err(|error| error.to_string());
    }

    #[test]
    fn on_any_objects(objects in prop_oneof![document(), any::<String>(), document().prop_map(|item| format!("array:\n  - {item:?}"))]) {
        let result = bare(&with(&[("objects", &objects)]));
        if let Err(error) = result {
            prop_assert!(error.to_string().contains("objects"), "{}", error);
        }
    }

    #[test]
    fn on_any_selection(select in prop_oneof![document(), any::<String>()]) {
        if let Err(error) = bare(&with(&[("select", &select)])) {
            prop_assert!(error.to_string().contains("select"), "{}", error);
        }
    }
}
