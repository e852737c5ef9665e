//! Writes the manual pages of `keysluice` into a directory: `make man`. In the program itself they
//! would cost 102 KB.

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| "target/man".into());
    std::fs::create_dir_all(&directory)?;
    clap_mangen::generate_to(keysluice::cli::command(), directory)
}
