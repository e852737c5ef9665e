//! What the figures were, and which of the new ones are worse.

use super::{Figure, Kind};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;

/// A figure may grow so much before somebody has to say so, by a new baseline in the commit that
/// does it.
const TOLERANCE: f64 = 1.15;
/// What passes its bound by so much does so on a quiet machine too.
const BUSY: f64 = 5.0;

/// Figures by name, of one target.
#[derive(Debug, Default)]
pub(super) struct Baseline(BTreeMap<String, f64>);

impl Baseline {
    /// Reads the figures of `target`; `None` when there are none.
    pub(super) fn read(path: &Path, target: &str) -> anyhow::Result<Option<Self>> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut all: BTreeMap<String, BTreeMap<String, f64>> =
            serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
        Ok(all.remove(target).map(Self))
    }
}

/// One line for each figure above its bound or, with a baseline, above what it was.
pub(super) fn complaints(figures: &[Figure], baseline: Option<&Baseline>) -> Vec<String> {
    let mut complaints = Vec::new();
    for Figure { name, unit, value, bound, kind } in figures {
        let bound = match kind {
            Kind::Stable | Kind::Bounded => *bound,
            // Without a baseline somebody looks at the table himself.
            Kind::Varies => bound.filter(|_| baseline.is_some()).map(|bound| bound * BUSY),
        };
        if let Some(bound) = bound.filter(|bound| value > bound) {
            complaints.push(format!("{name}: {value} {unit}, more than {bound}"));
        }
        let Some(Baseline(known)) = baseline else { continue };
        match (kind, known.get(*name)) {
            (Kind::Stable, None) => {
                complaints.push(format!("{name}: {value} {unit}, and no baseline"));
            }
            (Kind::Stable, Some(known)) if *value > known * TOLERANCE => {
                complaints.push(format!("{name}: {value} {unit}, more than 15 % above {known}"));
            }
            _ => {}
        }
    }
    if let Some(Baseline(known)) = baseline {
        let gone =
            known.keys().filter(|name| figures.iter().all(|figure| figure.name != name.as_str()));
        complaints.extend(gone.map(|name| format!("{name}: in the baseline, and not measured")));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_by_more_than_15_percent_or_passes_its_bound_is_told() {
        let figure = |value, bound, kind| Figure { name: "x", unit: "bytes", value, bound, kind };
        let stable = |value, bound| figure(value, bound, Kind::Stable);
        let cases: &[(&str, Figure, Option<f64>, Option<&str>)] = &[
            ("as it was", stable(100.0, None), Some(100.0), None),
            ("less", stable(50.0, None), Some(100.0), None),
            ("a little more", stable(114.0, None), Some(100.0), None),
            ("too much more", stable(116.0, None), Some(100.0), Some("more than 15 % above 100")),
            (
                "nothing became something",
                stable(1.0, None),
                Some(0.0),
                Some("more than 15 % above 0"),
            ),
            ("within its bound", stable(100.0, Some(100.0)), None, None),
            ("past its bound", stable(101.0, Some(100.0)), None, Some("more than 100")),
            (
                "past its bound, as it was",
                stable(101.0, Some(100.0)),
                Some(101.0),
                Some("more than 100"),
            ),
            ("noise within its bound", figure(9.0, Some(10.0), Kind::Bounded), Some(1.0), None),
            (
                "noise past its bound",
                figure(11.0, Some(10.0), Kind::Bounded),
                Some(11.0),
                Some("more than 10"),
            ),
            (
                "a time past its bound, for somebody to look at",
                figure(11.0, Some(10.0), Kind::Varies),
                None,
                None,
            ),
            ("a time on a busy machine", figure(49.0, Some(10.0), Kind::Varies), Some(1.0), None),
            (
                "a time that says something",
                figure(51.0, Some(10.0), Kind::Varies),
                Some(1.0),
                Some("more than 50"),
            ),
        ];
        for (what, figure, known, expected) in cases {
            let baseline = known.map(|known| Baseline(BTreeMap::from([("x".to_owned(), known)])));
            let told = complaints(std::slice::from_ref(figure), baseline.as_ref());
            assert_eq!(told.len(), usize::from(expected.is_some()), "{what}: {told:?}");
            assert!(
                expected.is_none_or(|expected| told[0].ends_with(expected)),
                "{what}: {told:?}"
            );
        }
    }

    #[test]
    fn a_figure_nobody_measures_or_knows_is_told() {
        let baseline = Baseline(BTreeMap::from([("gone".to_owned(), 1.0)]));
        let figure =
            Figure { name: "new", unit: "calls", value: 1.0, bound: None, kind: Kind::Stable };
        let told = complaints(&[figure], Some(&baseline));
        assert_eq!(
            told,
            ["new: 1 calls, and no baseline", "gone: in the baseline, and not measured"]
        );
    }
}
