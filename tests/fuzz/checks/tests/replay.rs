//! Replays the corpus that the fuzz targets start from, and what they found, in ../corpus.

use keysluice_fuzz_checks::CHECKS;
use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_passes_its_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut folders: Vec<String> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, CHECKS.map(|(name, _)| name), "one folder for each check");
    for (name, check) in CHECKS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Shown with a failure: the input that panicked is the last one named.
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}
