//! SIGKILL at any moment: a reader that opens `..data` once sees one generation, every file whole.

use crate::support::{CANARY, TestEnv};
use keysluice_emulator::Fault;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KILLS: u64 = 60;
const FILES: usize = 6;
const LENGTH: usize = 6000;

#[test]
fn a_reader_sees_one_whole_generation_whenever_the_sidecar_is_killed() {
    let env = TestEnv::new();
    let digits = |digit: u64| (digit % 10).to_string().repeat(LENGTH);
    env.emulator.set_secret("shop", "db", digits(0));
    // All files come from one object and so from one GET: within a generation they are equal.
    let files: Vec<Value> =
        (0..FILES).map(|index| env.file(&format!("d{index}/f"), "db")).collect();
    let plan = env.plan(&files);
    drop(env.run_ready(&plan));
    let (stop, reads, discarded) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let generations = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = String::new();
            while !stop.load(Ordering::Relaxed) {
                match read(&env) {
                    Some(content) => {
                        reads.fetch_add(1, Ordering::Relaxed);
                        if content != last {
                            generations.fetch_add(1, Ordering::Relaxed);
                        }
                        last = content;
                    }
                    None => {
                        discarded.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        scope.spawn(|| {
            // Whatever refresh comes, it finds a new value.
            let mut value = 1;
            while !stop.load(Ordering::Relaxed) {
                env.emulator.set_secret("shop", "db", digits(value));
                value += 1;
                let asked = UnixStream::connect(env.root.join("run/keysluice/control.sock"))
                    .and_then(|mut stream| stream.write_all(b"refresh\n"));
                std::thread::sleep(Duration::from_millis(if asked.is_ok() { 2 } else { 5 }));
            }
        });
        // On a machine that is busy with other things a life may be too short for a swap: then more
        // of them.
        let enough = |kill: u64| kill >= KILLS && generations.load(Ordering::Relaxed) > 10;
        for kill in (0..20 * KILLS).take_while(|&kill| !enough(kill)) {
            let sidecar = env.run_ready(&plan);
            // Ready is at once after a restart; the first swaps come some ten milliseconds later.
            std::thread::sleep(Duration::from_micros(kill * 7919 % 60_000));
            drop(sidecar);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [reads, generations, discarded] =
        [&reads, &generations, &discarded].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{KILLS} kills, {reads} reads, {generations} changes seen, {discarded} reads of a \
         generation that went"
    );
    assert!(generations > 10, "the sidecar did rewrite");
    assert!(discarded * 20 < reads, "a generation lives long enough to be read");
    drop(env.run_ready(&plan));
    let left = fs::read_dir(env.root.join("mnt/v")).unwrap().count();
    assert!(left <= FILES + 1 + 2, "leftovers of the crashes go at start: {left}");
}

#[test]
fn a_kill_during_the_first_generation_hides_no_file_after_the_restart() {
    const MANY: usize = 400;
    let env = TestEnv::new();
    let files: Vec<Value> = (0..MANY).map(|index| env.file(&format!("f{index}"), "db")).collect();
    let plan = env.plan(&files);
    let volume = env.root.join("mnt/v");
    let (mut torn, mut tries) = (0, 0);
    // A kill that comes after the links proves nothing.
    while tries < 5 || (torn == 0 && tries < 100) {
        tries += 1;
        fs::remove_dir_all(&volume).unwrap();
        fs::create_dir(&volume).unwrap();
        let sidecar = env.run(&plan);
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::symlink_metadata(volume.join("..data")).is_err() {
            assert!(Instant::now() < deadline, "no generation: {}", env.log());
        }
        drop(sidecar);
        torn += usize::from(fs::read_dir(&volume).unwrap().count() < MANY);
        // What the first run wrote has to do: the vault does not answer any more.
        env.emulator.inject(Fault::reset());
        let _sidecar = env.run_ready(&plan);
        env.emulator.clear_faults();
        for index in 0..MANY {
            assert_eq!(env.read(&format!("f{index}")), CANARY);
        }
    }
    println!("{torn} of {tries} kills came between the swap and the links");
    assert!(torn > 0);
}

/// One generation's content, or `None` when it was removed under the reader (a restart took the
/// leftovers away).
fn read(env: &TestEnv) -> Option<String> {
    let directory = File::open(env.root.join("mnt/v/..data")).expect("..data never misses");
    let mut first: Option<String> = None;
    for index in 0..FILES {
        let path = format!("/proc/self/fd/{}/d{index}/f", directory.as_raw_fd());
        let content = match fs::read_to_string(path) {
            Ok(content) => content,
            Err(error) => {
                // The removal of a generation that is not current goes file by file and ends with
                // the directory.
                let current =
                    fs::metadata(env.root.join("mnt/v/..data")).expect("..data never misses").ino();
                assert_ne!(
                    current,
                    directory.metadata().unwrap().ino(),
                    "a file misses in the current generation: {error}"
                );
                return None;
            }
        };
        assert!(
            content.len() == LENGTH && content.bytes().all(|byte| byte == content.as_bytes()[0]),
            "a torn file"
        );
        let first = first.get_or_insert_with(|| content.clone());
        assert!(*first == content, "two generations at once");
    }
    first
}
