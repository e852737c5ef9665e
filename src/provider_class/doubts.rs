//! What is legal but doubtful about a class. However much a stranger writes, only so much of it is
//! told, and only so much is looked at.

use super::Warning;
use super::reference::{self, Entry};
use crate::spelling::nearest;
use keysluice_plan::reason::Reason;

/// Most warnings of one answer: the API server passes on 4,096 bytes of them in all.
pub const MAX_WARNINGS: usize = 16;
/// Unknown names that are compared with the known ones. A manifest that somebody wrote has a
/// handful.
pub(super) const MOST_COMPARED: usize = 64;

/// The warnings of one class.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    warnings: Vec<Warning>,
    compared: usize,
}

impl Doubts {
    /// Adds a warning, unless there are enough.
    pub(super) fn add(&mut self, reason: Reason, text: impl FnOnce() -> String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { reason, text: text() });
        }
    }

    /// The entry that an unknown name was probably meant to be.
    pub(super) fn misspelled(
        &mut self,
        table: &'static [Entry],
        name: &str,
    ) -> Option<&'static str> {
        if self.is_spent() { None } else { reference::nearest(table, name) }
    }

    /// The same where one name is known.
    pub(super) fn misspelled_one(
        &mut self,
        known: &'static str,
        name: &str,
    ) -> Option<&'static str> {
        if self.is_spent() { None } else { nearest(name, &[known], 2) }
    }

    /// Counts a comparison; whether there were enough already, or nobody would hear of the result.
    fn is_spent(&mut self) -> bool {
        let spent = self.compared == MOST_COMPARED || self.warnings.len() == MAX_WARNINGS;
        self.compared += usize::from(!spent);
        spent
    }

    /// The warnings, in the order of the class.
    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects;
    use super::super::parameters::Parameters;
    use super::*;
    use std::collections::BTreeMap;

    /// An `objects` document with this many objects that have a field of this name.
    fn document(objects: usize, field: &str) -> String {
        let object = format!("- '{{objectName: a, objectType: key, {field}: b}}'\n");
        format!("array:\n{}", object.repeat(objects))
    }

    #[test]
    fn unknown_names_are_compared_and_told_only_so_often() {
        for (objects, field, compared, told) in [
            (5, "objectAlia", 5, 5),
            (1000, "objectAlia", MAX_WARNINGS, MAX_WARNINGS),
            (5, "somethingElse", 5, 0),
            (1000, "somethingElse", MOST_COMPARED, 0),
        ] {
            let mut doubts = Doubts::default();
            assert_eq!(
                objects::parse(&document(objects, field), &mut doubts).unwrap().len(),
                objects
            );
            assert_eq!(
                (doubts.compared, doubts.warnings.len()),
                (compared, told),
                "{objects} {field}"
            );
        }
    }

    #[test]
    fn parameters_are_compared_and_told_only_so_often() {
        for (key, compared, told) in
            [("xobjects", MAX_WARNINGS, MAX_WARNINGS), ("something", MOST_COMPARED, 0)]
        {
            // A letter more makes each a name of its own, near or far as before.
            let letters =
                (0..20_000).filter_map(char::from_u32).filter(|letter| letter.is_alphabetic());
            let parameters: BTreeMap<_, _> =
                letters.map(|letter| (format!("{key}{letter}"), String::new())).collect();
            assert!(parameters.len() > 10_000);
            let doubts = Parameters::merged(&parameters, &BTreeMap::new()).doubts();
            assert_eq!((doubts.compared, doubts.warnings.len()), (compared, told), "{key}");
        }
    }

    #[test]
    fn a_warning_that_nobody_hears_of_is_not_written() {
        let mut doubts = Doubts::default();
        let mut written = 0;
        for _ in 0..1000 {
            doubts.add(crate::reason::KS142, || {
                written += 1;
                String::new()
            });
        }
        assert_eq!((written, doubts.into_warnings().len()), (MAX_WARNINGS, MAX_WARNINGS));
    }
}
