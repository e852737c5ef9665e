//! The address of IMDS in a network namespace of the test's own, as a pod has one: the init
//! container's command, the sidecar as another user, and an application that is a third.
//!
//! Each test runs itself again in a new network namespace; that takes root, `unshare`, `setpriv`,
//! `ip` and `bash`, and is skipped in words without.

use super::{Answer, answer, plan};
use crate::support::{CLIENT, Sidecar, TestEnv, loudly, put, stderr, until};
use keysluice_emulator::free_port;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set where the test runs in a namespace of its own: the namespace from which it comes.
const INSIDE: &str = "KEYSLUICE_TEST_INSIDE";
const SIDECAR_USER: u32 = 65532;
const APPLICATION_USER: u32 = 12345;
const PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const IMDS: &str = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&\
    resource=https%3A%2F%2Fvault.azure.net HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close";

/// Whether the test is in its namespace; outside it starts itself there, and asserts that it
/// passes.
fn is_inside(name: &str) -> bool {
    let namespace = std::fs::read_link("/proc/self/ns/net").unwrap();
    if let Some(outside) = std::env::var_os(INSIDE) {
        assert_ne!(namespace, PathBuf::from(outside), "the machine's own network stays as it is");
        return true;
    }
    let probe = "unshare --net ip link set lo up && setpriv --version && bash --version";
    let possible = Command::new("sh").args(["-c", probe]).output().unwrap();
    if !possible.status.success() {
        loudly(name, &format!("needs root, unshare, setpriv, ip and bash: {}", stderr(&possible)));
        return false;
    }
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let test = format!("managed_identity::intercept::{name}");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).arg(test);
    let output = command.env(INSIDE, namespace).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let has_run = printed.contains("1 passed");
    assert!(output.status.success() && has_run, "{printed}\n{}", stderr(&output));
    false
}

/// A pod's files, which the sidecar's user owns, and a program that this user can start.
struct Pod {
    env: TestEnv,
    plan: Value,
}

impl Pod {
    fn new() -> Self {
        let env = TestEnv::new();
        let mut plan = plan(&env, free_port().unwrap());
        plan["managedIdentity"]["intercept"] = true.into();
        let program = env.root.join("keysluice-injector");
        std::fs::copy(env.command(&plan, &[]).get_program(), &program).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(env.root.join("run/keysluice")).unwrap();
        for path in ["", "run/keysluice", "token", "termination-log"] {
            let path = env.root.join(path);
            if !path.exists() {
                put(&path, b"");
            }
            chown(path, Some(SIDECAR_USER), Some(SIDECAR_USER)).unwrap();
        }
        // As the kubelet makes it.
        let log = env.root.join("termination-log");
        std::fs::set_permissions(log, Permissions::from_mode(0o666)).unwrap();
        // What containerd gives a pod that does not ask, without `enable_unprivileged_ports`.
        set_port_start("1024");
        Self { env, plan }
    }

    /// The init container: root without any capability but these.
    fn intercept(&self, capabilities: &str) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", capabilities, "--inh-caps", "-all", "--no-new-privs"]);
        command.arg(self.env.root.join("keysluice-injector")).arg("intercept").env_clear();
        command.env("KEYSLUICE_TERMINATION_LOG", self.env.root.join("termination-log"));
        command.output().unwrap()
    }

    /// The sidecar, which is not root.
    fn start(&self) -> Sidecar<'_> {
        let program = self.env.root.join("keysluice-injector");
        let mut command = Command::new(program);
        command.arg("run").env_clear().uid(SIDECAR_USER).gid(SIDECAR_USER);
        command
            .env("KEYSLUICE_PLAN", self.plan.to_string())
            .env("KEYSLUICE_ROOT", &self.env.root)
            .env("KEYSLUICE_TERMINATION_LOG", self.env.root.join("termination-log"));
        let log = std::fs::File::create(self.env.root.join("stderr")).unwrap();
        let child = command.stderr(log).spawn().unwrap();
        self.env.sidecar(child, &self.plan)
    }

    /// Why a sidecar cannot start.
    fn refusal(&self) -> String {
        let status = self.start().wait();
        assert_eq!(status.code(), Some(3), "{}", self.env.log());
        self.env.termination_log()
    }
}

/// What the pod's sysctl sets.
fn set_port_start(value: &str) {
    put(Path::new(PORT_START), value.as_bytes());
}

/// Sends a request to the address of IMDS as the user of the application.
fn ask(request: &str) -> Answer {
    let script =
        "exec 3<>/dev/tcp/169.254.169.254/80 && printf '%s\\r\\n\\r\\n' \"$1\" >&3 && cat <&3";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", request]).uid(APPLICATION_USER).gid(APPLICATION_USER);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    answer(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn an_application_gets_a_token_at_the_address_of_imds() {
    if !is_inside("an_application_gets_a_token_at_the_address_of_imds") {
        return;
    }
    let pod = Pod::new();
    let added = pod.intercept("-all,+net_admin");
    let undo = "to remove it: ip address delete 169.254.169.254/32 dev lo";
    assert!(added.status.success() && stderr(&added).contains(undo), "{}", stderr(&added));
    set_port_start("80");
    let sidecar = pod.start();
    let ready = sidecar.ready();
    assert!(ready.status.success(), "{}\n{}", stderr(&ready), pod.env.log());
    let log = pod.env.log();
    assert!(log.contains("and http://169.254.169.254"), "{log}");

    let given = ask(&format!("{IMDS}\r\nMetadata: true"));
    assert_eq!(given.status, 200, "{given:?}");
    assert_eq!(given.body["client_id"], CLIENT);
    assert_eq!(given.body["resource"], "https://vault.azure.net");
    assert!(given.body["access_token"].as_str().is_some_and(|token| token.len() > 20));
    // SDKs look for IMDS by a request without the header, and take any answer for it.
    let probed = ask(IMDS);
    let expected = json!({"error": "bad_request_102",
        "error_description": "Required metadata header not specified"});
    assert_eq!((probed.status, &probed.body), (400, &expected));
    let other = IMDS.replace("/metadata/identity/oauth2/token", "/metadata/instance");
    assert_eq!(ask(&format!("{other}\r\nMetadata: true")).status, 404);
    let own = super::Endpoint { port: port_of(&pod.plan), sidecar };
    let resource = "resource=https%3A%2F%2Fvault.azure.net";
    assert_eq!(own.imds(resource).status, 200, "the loopback is served too");
    // Who listens on all addresses needs the port for itself.
    let taken = std::net::TcpListener::bind("0.0.0.0:80").unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert!(std::net::TcpListener::bind("127.0.0.1:80").is_ok());
}

fn port_of(plan: &Value) -> u16 {
    plan["managedIdentity"]["port"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn a_second_init_container_and_a_second_sidecar_find_what_the_first_ones_left() {
    if !is_inside("a_second_init_container_and_a_second_sidecar_find_what_the_first_ones_left") {
        return;
    }
    let pod = Pod::new();
    set_port_start("80");
    for line in ["added to the interface lo", "has 169.254.169.254 already: nothing changed"] {
        let added = pod.intercept("-all,+net_admin");
        assert!(added.status.success() && stderr(&added).contains(line), "{}", stderr(&added));
    }
    let shown = Command::new("ip").args(["-4", "-oneline", "address"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.matches("169.254.169.254/32 scope host lo").count(), 1, "{shown}");
    for _ in 0..2 {
        let sidecar = pod.start();
        assert!(sidecar.ready().status.success(), "{}", pod.env.log());
        assert_eq!(ask(&format!("{IMDS}\r\nMetadata: true")).status, 200);
    }
}

#[test]
fn what_is_missing_in_the_pod_is_said_in_words() {
    if !is_inside("what_is_missing_in_the_pod_is_said_in_words") {
        return;
    }
    let pod = Pod::new();
    set_port_start("80");
    let refusal = pod.refusal();
    assert!(refusal.starts_with("KS693 ") && refusal.contains("keysluice-intercept"), "{refusal}");
    let refused = pod.intercept("-all");
    assert_eq!(refused.status.code(), Some(3));
    let text = stderr(&refused);
    assert!(text.contains("\"KS694\",\"message\":\"adding 169.254.169.254 to"), "{text}");
    assert!(text.contains("(the process lacks the capability NET_ADMIN)"), "{text}");
    assert!(pod.env.termination_log().starts_with("KS694 "), "{}", pod.env.termination_log());
    assert!(pod.intercept("-all,+net_admin").status.success());
    // The sysctl of the pod was lost.
    set_port_start("1024");
    let refusal = pod.refusal();
    assert!(refusal.starts_with("KS693 "), "{refusal}");
    assert!(refusal.contains("ip_unprivileged_port_start is above 80"), "{refusal}");
    // A container of the pod has the port.
    set_port_start("80");
    let listener = std::net::TcpListener::bind("0.0.0.0:80").unwrap();
    let status = pod.start().wait();
    assert_eq!(status.code(), Some(1), "the kubelet tries again");
    let refusal = pod.env.termination_log();
    assert!(refusal.starts_with("KS693 ") && refusal.contains("port 80"), "{refusal}");
    drop(listener);
    let sidecar = pod.start();
    until("the sidecar is ready", || sidecar.ready().status.success());
}
