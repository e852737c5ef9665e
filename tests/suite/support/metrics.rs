//! What `docs/metrics.md` says, to be compared with what is served and what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A row of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Documented {
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
}

/// The rows by name, as a query writes it.
pub(crate) fn documented() -> BTreeMap<String, Documented> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `keysluice_"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let name = format!("keysluice_{}", cells[0].trim_end_matches('`'));
        (name, Documented { kind: cells[1].to_owned(), labels })
    };
    rows.map(row).collect()
}

/// Checks that every line of what is served is documented, with its type and exactly its labels.
pub(crate) fn assert_documented(text: &str) {
    let (page, mut samples, mut kinds) = (documented(), 0, BTreeMap::new());
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            kinds.insert(name, kind);
        }
        if line.starts_with('#') {
            continue;
        }
        let sample = Sample::read(line);
        let (name, row) = page
            .iter()
            .find(|(name, row)| {
                let parts = ["_bucket", "_sum", "_count"];
                let base = parts.iter().find_map(|part| sample.name.strip_suffix(part));
                **name == sample.name || row.kind == "histogram" && base == Some(name)
            })
            .unwrap_or_else(|| panic!("docs/metrics.md has no row for {line}"));
        let labels = sample.labels.keys().map(|&label| label.to_owned()).collect();
        assert_eq!(row.labels, labels, "{line}");
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        assert_eq!(kinds.get(family), Some(&row.kind.as_str()), "{line}");
        samples += 1;
    }
    assert!(samples > 5, "{text}");
}

/// A line of the text format, without the label `le` of a bucket.
pub(crate) struct Sample<'t> {
    pub(crate) name: &'t str,
    pub(crate) labels: BTreeMap<&'t str, &'t str>,
}

impl<'t> Sample<'t> {
    pub(crate) fn read(line: &'t str) -> Self {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let (mut labels, mut rest) = (BTreeMap::new(), rest.trim_start_matches('{'));
        while let Some((label, after)) = rest.split_once("=\"") {
            let end = after
                .char_indices()
                .scan(false, |escaped, (index, letter)| {
                    let ends = letter == '"' && !*escaped;
                    *escaped = letter == '\\' && !*escaped;
                    Some((index, ends))
                })
                .find_map(|(index, ends)| ends.then_some(index))
                .unwrap();
            if label != "le" {
                labels.insert(label, &after[..end]);
            }
            rest = after[end + 1..].trim_start_matches(',');
        }
        Self { name, labels }
    }
}
