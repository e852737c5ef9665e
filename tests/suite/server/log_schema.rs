//! Webhook and sidecar write the fields that the table of docs/operate.md names.

use crate::suite::support::{Theatre, binaries, data};
use keysluice_emulator::Fault;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The fields of the table, and those of them that every line has.
fn documented() -> (Vec<String>, Vec<String>) {
    let page = std::fs::read_to_string(data().join("../../docs/operate.md")).unwrap();
    let table = page.split("| field | in every line |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let names = |only_always: bool| {
        let rows = rows.iter().filter(|row| !only_always || row[2] == "yes");
        rows.map(|row| row[1].trim_matches('`').to_owned()).collect()
    };
    (names(false), names(true))
}

fn is_timestamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// Checks each line; the names of fields that occur.
fn checked(log: &str, (known, always): &(Vec<String>, Vec<String>)) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let fields = value.as_object().unwrap();
        assert!(always.iter().all(|name| fields[name].is_string()), "{line}");
        assert!(is_timestamp(value["timestamp"].as_str().unwrap()), "{line}");
        assert!(LEVELS.contains(&value["level"].as_str().unwrap()), "{line}");
        let code = value.get("code").and_then(Value::as_str);
        assert!(code.is_none_or(|code| keysluice::reason::find(code).is_some()), "{line}");
        assert!(!value["message"].as_str().unwrap().starts_with("KS"), "{line}");
        // In the order of the table.
        let order: Vec<_> =
            fields.keys().filter_map(|name| known.iter().position(|known| known == name)).collect();
        let head = &order[..order.len().min(3)];
        assert!(head.is_sorted(), "{line}");
        seen.extend(fields.keys().cloned());
    }
    seen
}

#[tokio::test]
async fn webhook_and_sidecar_write_the_fields_of_the_page() {
    let documented = documented();
    assert_eq!(documented.1, ["timestamp", "level", "message"]);
    let mut theatre = Theatre::open().await;
    let reviewed = theatre.review("workload-identity").await;
    let mut pod = theatre.start("workload-identity", &reviewed);
    pod.wait_until_ready().await.unwrap();
    theatre.emulator.inject(Fault::status(500));
    assert!(!pod.execute(&["refresh"]).await.unwrap().status.success());
    let of_sidecar = checked(&pod.sidecar.log(), &documented);
    let expected = ["code", "hint", "level", "message", "timestamp"];
    assert_eq!(of_sidecar, expected.map(str::to_owned).into());
    assert!(theatre.webhook.process.terminate(Duration::from_secs(5)).await.unwrap().success());
    let of_webhook = checked(&theatre.webhook.process.log(), &documented);
    for field in ["namespace", "pod", "service_account", "outcome", "microseconds"] {
        assert!(of_webhook.contains(field), "{of_webhook:?}");
    }
}

/// The first line that a command writes to standard error; it is killed then.
fn first_line(command: &mut Command) -> String {
    let command = command.env_clear().stderr(Stdio::piped()).stdout(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _ = process.kill();
    process.wait().unwrap();
    line
}

#[test]
fn for_people_both_write_time_level_code_message_and_the_others() {
    let mut webhook = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    webhook.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    webhook.args(["--objects", "tests/data/guides", "--log-format", "text"]);
    let line = first_line(webhook.current_dir(env!("CARGO_MANIFEST_DIR")));
    assert!(is_timestamp(&line[..27]) && line[27..].starts_with(" info  "), "{line}");
    let mut sidecar = Command::new(binaries().injector);
    sidecar.args(["once", "--plan", "/no/such/plan", "--log-format", "text"]);
    let line = first_line(&mut sidecar);
    assert!(is_timestamp(&line[..27]) && line[27..].starts_with(" error KS601 --plan "), "{line}");
    assert!(line.contains(" hint=\""), "{line}");
}
