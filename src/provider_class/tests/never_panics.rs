//! Hostile input.

use super::*;
use crate::plan;
use keysluice_plan::{Plan, RelativePath};
use proptest::prelude::*;
use std::time::Duration;

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

const DEEP: &str = "objectAlias: d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d";
const LONG: &str = concat!(
    "objectAlias: ",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxx"
);

proptest! {
    #[test]
    fn on_any_parameters(
        vault in ".{0,30}", tenant in ".{0,10}", client in ".{0,10}", cloud in ".{0,10}",
        interval in "[0-9.µa-z+-]{0,12}",
        objects in prop_oneof![document(), any::<String>()],
        select in prop_oneof![document(), any::<String>()], key in any::<String>(),
    ) {
        let parameters = [
            ("keyvaultName", vault.as_str()), ("tenantID", &tenant), ("clientID", &client),
            ("cloudName", &cloud),
            ("refreshInterval", &interval), (key.as_str(), &objects), ("objects", &objects),
            ("select", &select),
        ];
        let _ = bare(&class(&parameters)).map_err(|error| error.to_string());
    }

    #[test]
    fn on_any_objects(objects in prop_oneof![document(), any::<String>(),
        document().prop_map(|item| format!("array:\n  - {item:?}"))]) {
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

    /// Whatever is accepted makes a Plan that the sidecar accepts too.
    #[test]
    fn what_is_accepted_is_a_good_plan(objects in prop::collection::vec(object(), 0..5),
        select in selection(), split: bool) {
        let objects = format!("array: {}", serde_json::to_string(&objects).unwrap());
        let split = if split { "true" } else { "false" };
        let class = with(&[("objects", &objects), ("select", &select),
            ("writeCertAndKeyInSeparateFiles", split)]);
        if let Ok(resolved) = bare(&class) {
            let mut plan = plan::empty(false);
            let (name, directory) = ("v", "/mnt/v".to_owned());
            let refresh_interval = Duration::from_secs(120);
            let token_file = "/t";
            let target = plan::Target {
                name,
                directory,
                token_file,
                token_proxy: None,
                refresh_interval,
            };
            plan::add_volume(&mut plan, &resolved, target);
            let read = Plan::from_json(&serde_json::to_string(&plan).unwrap());
            prop_assert!(read.is_ok(), "{:?}", read);
            let paths = made(&plan);
            for (index, path) in paths.iter().enumerate() {
                prop_assert!(path.parse::<RelativePath>().is_ok(), "{}", path);
                let clash = paths[..index].iter().find(|other| {
                    path == *other
                        || path.starts_with(&format!("{other}/"))
                        || other.starts_with(&format!("{path}/"))
                });
                prop_assert_eq!(clash, None, "{}", path);
            }
            prop_assert_eq!(read.unwrap(), plan);
        }
    }
}

/// Every file that the Plan's own entries may make.
fn made(plan: &Plan) -> Vec<String> {
    let files = plan.volumes[0].files.iter();
    let versions = files.flat_map(|file| {
        let versions = match file.history {
            None => vec![file.path.to_string()],
            Some(count) => {
                [0, count - 1].map(|version| format!("{}/{version}", file.path)).to_vec()
            }
        };
        versions.into_iter().map(move |path| (path, file.split))
    });
    let paths = versions.flat_map(|(path, split)| {
        let halves = [".crt", ".key"].map(|half| format!("{path}{half}"));
        halves.into_iter().filter(move |_| split).chain([path])
    });
    paths.collect()
}

fn pick(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(values)
}

/// Mostly good objects, with what goes together and what does not.
fn object() -> impl Strategy<Value = String> {
    (
        pick(&["a", "b", "tls"]),
        pick(&["secret", "secret", "key", "cert"]),
        pick(&[
            "",
            "objectAlias: x",
            "objectAlias: x.key",
            "objectAlias: d/x",
            "objectAlias: d",
            "objectAlias: a.crt",
            DEEP,
            LONG,
            "objectVersion: v1",
        ]),
        pick(&[
            "",
            "objectVersionHistory: 0",
            "objectVersionHistory: 2",
            "objectVersionHistory: 500",
            "objectVersionHistory: 501",
        ]),
        pick(&[
            "",
            "parts: key",
            "parts: [cert, chain]",
            "jsonKey: a.b[0]",
            "objectFormat: pfx",
            "objectEncoding: hex",
        ]),
        pick(&[
            "",
            "optional: true",
            "fileGroup: 4294967295",
            "fileOwner: 5",
            "filePermission: 0",
            "keyvaultName: other",
        ]),
    )
        .prop_map(|(name, object_type, alias, history, shape, more)| {
            let fields = [
                &format!("objectName: {name}"),
                &format!("objectType: {object_type}")[..],
                alias,
                history,
                shape,
                more,
            ];
            fields.into_iter().filter(|field| !field.is_empty()).collect::<Vec<_>>().join("\n")
        })
}

fn selection() -> impl Strategy<Value = String> {
    let texts = [
        "",
        "{}",
        "{namePrefix: a, tags: {x: ''}, directory: d}",
        "[{namePrefix: b}, {directory: s/t, filePermission: 0400, fileGroup: 3}]",
    ];
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}
