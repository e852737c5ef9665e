//! Scripts that build what leaves the house: the sidecar is for musl, or they fail with the one
//! command to run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A tree with the scripts and nothing else, and tools that know no musl.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for script in ["static", "images"] {
            let text =
                std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script))
                    .unwrap();
            tree.program(&format!("scripts/{script}"), &text);
        }
        tree.program("bin/rustc", b"#!/bin/sh\necho /nowhere\n");
        tree.program("bin/cargo", b"#!/bin/sh\necho cargo was called >&2\nexit 1\n");
        tree.program("bin/buildah", b"#!/bin/sh\necho buildah was called >&2\nexit 1\n");
        tree
    }

    fn program(&self, path: &str, text: &[u8]) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn run(&self, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new("bash");
        let path =
            format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").unwrap());
        command
            .arg(self.0.path().join("scripts").join(script))
            .args(arguments)
            .env("PATH", path)
            .env("CI", "false");
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

/// The one that this machine does not have: nothing here can build std for it.
fn other_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" }
}

#[test]
fn without_musl_nothing_is_built_and_the_one_command_is_named() {
    let (tree, arch) = (Tree::new(), other_architecture());
    let left =
        tree.program(&format!("target/static/{arch}/keysluice-injector"), b"of an earlier run");
    let (code, said) = tree.run("static", &[arch]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("rustup target add {arch}-unknown-linux-musl")), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!said.contains("cargo was called"), "{said}");
    assert!(!left.exists(), "images would take it for the new one");
    let (code, said) = tree.run("static", &["--allow-glib", arch]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn images_take_no_sidecar_that_is_not_for_musl() {
    let (tree, arch) = (Tree::new(), other_architecture());
    let (code, said) = tree.run("images", &[arch]);
    assert!(
        code == Some(1) && said.contains(&format!("hint: run scripts/static {arch}")),
        "{code:?} {said}"
    );
    for (target, taken) in [("gnu", false), ("musl", true)] {
        for program in ["keysluice", "keysluice-injector"] {
            tree.program(&format!("target/static/{arch}/{program}"), b"");
        }
        tree.program(
            &format!("target/static/{arch}/keysluice-injector.target"),
            format!("{arch}-unknown-linux-{target}\n").as_bytes(),
        );
        let (code, said) = tree.run("images", &[arch]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.contains("buildah was called"), taken, "{target}: {said}");
        assert_eq!(
            said.contains(&format!("is not built for musl ({arch}-unknown-linux-{target})")),
            !taken,
            "{said}"
        );
    }
}

#[test]
fn the_linker_puts_listed_functions_first_whatever_hash_their_names_have() {
    let tree = Tree::new();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/hot");
    // Names as two compilers write them, with what differs between builds.
    let source = tree.program(
        "program.c",
        b"void _RNvCs1aB9_3lib3hot(void) {} void _RNvCs1aB9_3lib4cold(void) {}
          void _ZN3lib3old17h0123456789abcdefE(void) {} int main(void) { return 0; }",
    );
    let object = tree.program("program.o", b"");
    let compiled =
        Command::new("cc").arg("-c").arg(&source).arg("-o").arg(&object).status().unwrap();
    assert!(compiled.success());
    let list = tree.program("list", b"main\nlib::hot\nlib::old\nno_longer_there\n");
    assert!(Command::new("gzip").arg(&list).status().unwrap().success());
    let linker = tree.program(
        "linker",
        br#"#!/bin/sh
for argument; do
    case $argument in
    -Wl,--symbol-ordering-file=*) order=${argument#*=} && cat "${order%%,*}" ;;
    *) echo "argument $argument" ;;
    esac
done
"#,
    );
    let output = Command::new(scripts.join("cc"))
        .arg(&object)
        .env("KEYSLUICE_HOT_FUNCTIONS", list.with_extension("gz"))
        .env("KEYSLUICE_HOT_LINKER", linker)
        .env("KEYSLUICE_LLD", "/lld")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (arguments, order): (Vec<_>, Vec<_>) =
        said.lines().partition(|line| line.starts_with("argument"));
    assert_eq!(
        order,
        ["_RNvCs1aB9_3lib3hot", "_ZN3lib3old17h0123456789abcdefE", "main"],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let object = format!("argument {}", object.display());
    let given =
        [object.as_str(), "argument -fuse-ld=lld", "argument -B/lld", "argument -Wl,--icf=all"];
    assert_eq!(arguments, given);
}

/// A program of two functions, of which one is called, twice.
const CALLS: &[u8] = b"#include <stdlib.h>
    __attribute__((noinline)) void called(void) { __asm__ volatile (\"\"); }
    __attribute__((noinline)) void never(void) { __asm__ volatile (\"\"); }
    int main(int argc, char **argv) {
        called(); called(); if (argc > 5) never(); return atoi(argv[1]);
    }";

#[test]
fn the_functions_that_a_program_calls_are_named_and_its_exit_code_is_kept() {
    let tree = Tree::new();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/hot");
    let source = tree.program("calls.c", CALLS);
    let (program, trace) = (tree.program("calls", b""), tree.program("trace", b""));
    for (source, program) in [(&source, &program), (&scripts.join("trace.c"), &trace)] {
        let compiled = Command::new("cc").arg("-O1").arg(source).arg("-o").arg(program).status();
        assert!(compiled.unwrap().success());
    }
    let names = Command::new("nm").arg("-n").arg(&program).output().unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    let functions = names.lines().filter(|line| line.contains(" T ")).collect::<Vec<_>>();
    let functions = functions.join("\n").replace(" T ", " ");
    let functions = tree.program("functions", functions.as_bytes());
    let called = functions.with_file_name("called");
    let status = Command::new(trace).arg(functions).arg(&called).arg(program).arg("7").status();
    assert_eq!(status.unwrap().code(), Some(7));
    let called = std::fs::read_to_string(called).unwrap();
    let ours = called.lines().filter(|name| ["main", "called", "never"].contains(name));
    assert_eq!(ours.collect::<Vec<_>>(), ["main", "called"]);
}
