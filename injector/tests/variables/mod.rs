//! Variables without a Secret: files that the kubelet reads, and commands that start with values.

use crate::support::{CANARY, TestEnv, stderr};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The Plan with a variable of the kubelet's for each secret.
fn assigned(env: &TestEnv, secrets: &[&str]) -> Value {
    let file = |secret: &&str| {
        let name = secret.to_uppercase();
        let mut file = env.file(&name, secret);
        file["variable"] = json!(name);
        file
    };
    env.plan(&secrets.iter().map(file).collect::<Vec<_>>())
}

#[test]
fn a_file_of_a_variable_is_what_the_kubelet_reads() {
    let env = TestEnv::new();
    let value = "two\nlines \"=$(X)\" # ünï 🔑\n";
    env.emulator.set_secret("shop", "hostile", value);
    let mut plan = assigned(&env, &["db", "hostile", "missing"]);
    plan["volumes"][0]["files"][2]["optional"] = json!(true);
    let sidecar = env.run_ready(&plan);
    assert_eq!(env.read("DB"), format!("DB='{CANARY}'\n"));
    assert_eq!(env.read("HOSTILE"), format!("HOSTILE='{value}'\n"));
    assert_eq!(env.read("MISSING"), "", "the kubelet fails where there is no file");
    env.emulator.set_secret("shop", "db", "rotated");
    env.emulator.set_secret("shop", "missing", "here");
    assert!(sidecar.refresh().1);
    assert_eq!(
        (env.read("DB"), env.read("MISSING")),
        ("DB='rotated'\n".into(), "MISSING='here'\n".into())
    );
    // What cannot be read is told, and the last good value stays.
    env.emulator.set_secret("shop", "db", "it's");
    let (status, well) = sidecar.refresh();
    assert!(!well && status.to_string().contains("KS671"), "{status}");
    assert_eq!(env.read("DB"), "DB='rotated'\n");
}

#[test]
fn a_value_that_the_kubelet_cannot_read_is_refused_by_the_name_of_its_variable() {
    let long = "x".repeat(65_000);
    for (value, encoding, code) in [
        ("a canary's", "utf-8", "KS671"),
        ("", "utf-8", "KS672"),
        (&long, "utf-8", "KS673"),
        ("canary\r\n", "utf-8", "KS674"),
        ("AGE=", "base64", "KS674"),
        ("/w==", "base64", "KS674"),
    ] {
        let env = TestEnv::new();
        env.emulator.set_secret("shop", "bad", value);
        let mut plan = assigned(&env, &["bad"]);
        plan["volumes"][0]["files"][0]["encoding"] = json!(encoding);
        plan["startTimeoutSeconds"] = json!(1);
        let output = env.output(&plan, &["once"]);
        let text = stderr(&output) + &env.log();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(code) && text.contains("variable BAD"), "{code}: {text}");
        assert!(!text.contains("canary"), "{text}");
        assert!(!env.root.join("mnt/v/BAD").exists());
    }
}

#[test]
fn a_command_gets_values_of_every_kind_from_the_copy_of_the_program() {
    let env = TestEnv::new();
    for (name, value) in [
        ("lines", "one\n\ntwo\n"),
        ("quotes", "it's \"q\" `id` $(id) \\"),
        ("equals", "a=b=c"),
        ("unicode", "ünï 🔑"),
        ("empty", ""),
        ("crlf", "a\r\nb"),
        ("binary", "/wEC"),
    ] {
        env.emulator.set_secret("shop", name, value);
    }
    let names = ["lines", "quotes", "equals", "unicode", "empty", "crlf", "binary", "db"];
    let files = names.map(|name| env.file(&name.to_uppercase(), name));
    let mut plan = env.plan(&files);
    plan["volumes"][0]["files"][6]["encoding"] = json!("base64");
    plan["programDirectory"] = json!("/mnt/program");
    fs::create_dir(env.root.join("mnt/program")).unwrap();
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{}", stderr(&output));

    let program = env.root.join("mnt/program/keysluice-injector");
    let script = "printf '<%s>' \"$LINES\" \"$QUOTES\" \"$EQUALS\" \"$UNICODE\" \"${EMPTY-none}\" \
        \"$CRLF\" \"$BINARY\" \"$DB\" \"$OWN\" \"$0\" \"$1\"; exit 7";
    let from = env.root.join("mnt/v");
    let exec = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["exec", "--from"]).arg(&from).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("OWN", "own").env("DB", "mine");
        command.output().unwrap()
    };
    let output = exec(&["--", "sh", "-c", script, "zero", "--help"]);
    let expected = [
        &b"<one\n\ntwo\n><it's \"q\" `id` $(id) \\><a=b=c>"[..],
        "<ünï 🔑><><a\r\nb>".as_bytes(),
        b"<\xff\x01\x02><",
        CANARY.as_bytes(),
        b"><own><zero><--help>",
    ]
    .concat();
    assert_eq!((output.stdout, output.status.code()), (expected, Some(7)), "{:?}", output.stderr);
    let kept = exec(&["--keep", "DB", "--", "sh", "-c", "echo $DB; ulimit -c"]);
    let limit = Command::new("sh").args(["-c", "echo mine; ulimit -c"]).output().unwrap();
    assert_eq!(kept.stdout, limit.stdout, "its limits are those of the container");

    // Nothing of the values is in the errors.
    for (arguments, code, told) in [
        (&["--", "/no/such/command"][..], 127, "KS676 command \"/no/such/command\""),
        (&["--from", "/nowhere", "--", "true"], 126, "KS675 /nowhere/..data: No such file"),
        (&["--"], 2, "COMMAND"),
        (&["sh"], 2, ""),
    ] {
        let output = exec(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(told) && !text.contains(CANARY), "{text}");
    }
}
