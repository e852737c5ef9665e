//! A container beside the sidecar that may write into its volume.

use crate::support::confined::{Confined, SIDECAR_BYTES};
use crate::support::{Mount, Sidecar, TestEnv, loudly, put, until};
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const USER: u32 = 65532;
const STRANGER: u32 = 1000;
/// For an answer to `status`, and an end after SIGTERM: some ten milliseconds, more where the
/// machine is busy.
const PROMPT: Duration = Duration::from_secs(5);

/// Starts `run` as the user the webhook gives it, without a capability, within its memory limit.
fn run_as_user<'a>(env: &'a TestEnv, plan: &serde_json::Value, group: &Confined) -> Sidecar<'a> {
    put(&env.root.join("termination-log"), b"");
    let log = fs::File::options().create(true).append(true).open(env.root.join("stderr")).unwrap();
    let inner = env.command(plan, &["run"]);
    // The shell joins the group as root; the user comes after that.
    let mut outer = std::process::Command::new("setpriv");
    outer.args([
        "--reuid",
        &USER.to_string(),
        "--regid",
        &USER.to_string(),
        "--clear-groups",
        "--bounding-set=-all",
    ]);
    outer.arg(inner.get_program()).args(inner.get_args()).env_clear();
    outer
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", "/usr/bin:/bin");
    let child =
        group.run(&outer).stdout(Stdio::null()).stderr(log).process_group(0).spawn().unwrap();
    env.sidecar(child, plan)
}

fn own(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
}

/// The attacker's generation, with `..data` on it.
fn plant(volume: &Path, owner: u32, name: &str, what: impl FnOnce(&Path)) {
    let generation = volume.join(name);
    fs::create_dir(&generation).unwrap();
    what(&generation);
    own(&generation, owner);
    fs::remove_file(volume.join("..data")).unwrap();
    symlink(name, volume.join("..data")).unwrap();
}

fn nested(root: &Path, depth: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = openat(CWD, root, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = openat(&directory, "d", flags, Mode::empty()).unwrap();
    }
}

#[test]
fn a_writable_volume_stops_neither_rotation_nor_answers() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    let group = Confined::new("a_writable_volume", SIDECAR_BYTES);
    let mount = Mount::tmpfs(&volume, "2m");
    let (Some(group), Some(_mount)) = (group, mount) else {
        return loudly("a writable volume", "it needs root, to mount a tmpfs and be two users");
    };
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(env.root.join("run/keysluice")).unwrap();
    own(&env.root.join("run/keysluice"), USER);
    fs::set_permissions(&env.root, fs::Permissions::from_mode(0o755)).unwrap();
    let mut file = env.file("db", "db");
    // A mode that shuts out the owner too: to be compared the file has to be made readable for a
    // moment.
    file["mode"] = "0040".into();
    let plan = env.plan(&[file]);
    let sparse = |root: &Path| fs::File::create(root.join("db")).unwrap().set_len(1 << 40).unwrap();
    let fifo = |root: &Path| mknodat(CWD, root.join("db"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let cases: &[(&str, &dyn Fn(&Path))] = &[
        ("nothing", &|_| {}),
        ("a FIFO", &fifo),
        ("a sparse file of 1 TiB", &sparse),
        ("nested directories", &|root| nested(root, 20_000)),
        ("many entries", &|root| {
            (0..20_000).for_each(|n| symlink("x", root.join(format!("{n:0>200}"))).unwrap());
        }),
    ];
    let mut longest = Duration::ZERO;
    let mut sidecar = run_as_user(&env, &plan, &group);
    assert!(sidecar.ready().status.success(), "{}", env.log());
    for (number, (what, planted)) in cases.iter().enumerate() {
        for owner in [STRANGER, USER] {
            let name = format!("..2026_01_01_00_00_{number:0>2}.{owner}");
            plant(&volume, owner, &name, planted);
            let value = format!("{what} {owner}");
            env.emulator.set_secret("shop", "db", value.as_str());
            let asked = Instant::now();
            let status = sidecar.status();
            longest = longest.max(asked.elapsed());
            assert!(longest < PROMPT, "{what}: status after {longest:?}");
            assert_eq!(status["ready"], true);
            let (answer, well) = sidecar.refresh();
            assert!(well, "{what}: {answer} {}", env.log());
            assert_eq!(env.read("db"), value);
            assert_eq!(fs::metadata(volume.join("db")).unwrap().uid(), USER);
            // And whatever lies there by then, a restart goes on.
            let over = Instant::now();
            sidecar.signal(Signal::TERM);
            assert_eq!(sidecar.wait().code(), Some(0), "{what}: {}", env.log());
            longest = longest.max(over.elapsed());
            assert!(longest < PROMPT, "{what}: SIGTERM took {longest:?}");
            plant(&volume, owner, &format!("{name}1"), planted);
            sidecar = run_as_user(&env, &plan, &group);
            assert!(sidecar.ready().status.success(), "{what}: {}", env.log());
            assert_eq!(env.read("db"), value, "{what} after a restart");
            // Room for the next.
            for name in fs::read_dir(&volume)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            {
                if name.starts_with("..2026_01_01") {
                    let _ =
                        std::process::Command::new("rm").arg("-rf").arg(volume.join(name)).status();
                }
            }
        }
    }
    println!(
        "{} kills, {} KiB at most, answers within {longest:?}",
        group.kills(),
        group.peak_bytes() / 1024
    );
    assert_eq!(group.kills(), 0);
    // A mode that nobody may read is compared without being touched for good.
    let before = fs::read_link(volume.join("..data")).unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(volume.join("..data")).unwrap(),
        before,
        "nothing changed, nothing is rewritten"
    );
    assert_eq!(fs::metadata(volume.join("db")).unwrap().mode() & 0o777, 0o040);
    until("it still serves", || sidecar.status()["failing"] == 0);
}

#[test]
fn no_command_leaves_its_memory_to_others() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let id = sidecar.child.id();
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    // Of a process that is not dumpable root owns what would show its memory, whoever started it.
    let Some(group) = Confined::new("no_command", 64 * 1024 * 1024) else { return };
    let mut command = std::process::Command::new("setpriv");
    let inner = env.command(&env.plan(&[env.file("db", "absent")]), &["ready", "--timeout", "20"]);
    command
        .args(["--reuid", &USER.to_string(), "--clear-groups"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("KEYSLUICE_ROOT", "/nowhere");
    let mut child = group.run(&command).stderr(Stdio::null()).spawn().unwrap();
    let environ = format!("/proc/{}/environ", child.id());
    let uid_line = format!("/proc/{}/status", child.id());
    until("it runs as the user", || {
        let status = fs::read_to_string(&uid_line).unwrap_or_default();
        status.contains("Name:\tkeysluice") && status.contains(&format!("Uid:\t{USER}"))
    });
    until("it is not dumpable", || fs::metadata(&environ).is_ok_and(|file| file.uid() == 0));
    child.kill().unwrap();
    child.wait().unwrap();
}
