//! What was done and what is left, as Markdown.

use std::fmt::Write as _;

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// A file that was not read.
    NotRead,
    /// What a person must do.
    ByHand,
    /// What an object needs before its pods are created again.
    First,
    /// What became of an object.
    Changed,
    /// What behaves differently from now on.
    Differs,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::NotRead, "Not read", "These files are not migrated."),
        (Self::ByHand, "By hand", "What follows is not migrated, or not completely."),
        (
            Self::First,
            "Before the pods are created again",
            "What pods need first. Without it a pod is refused, or its sidecar cannot fetch.",
        ),
        (Self::Changed, "Changed", "What the new manifests say."),
        (Self::Differs, "Different from now on", "What works in another way with Keysluice."),
    ];
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub section: Section,
    /// What it is about: `Deployment app/web`, or a file.
    pub owner: String,
    /// What is to be said, with a code where something is wrong.
    pub text: String,
}

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    items: Vec<Item>,
    /// Further sections with commands: heading and text.
    pub guides: Vec<(String, String)>,
}

impl Report {
    /// Adds an item, once.
    pub fn add(&mut self, section: Section, owner: &str, text: impl Into<String>) {
        let item = Item { section, owner: owner.to_owned(), text: text.into() };
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }

    /// Takes back what is said to be changed of an owner, whose file is not written.
    pub fn retract(&mut self, owner: &str) {
        self.items.retain(|item| item.section != Section::Changed || item.owner != owner);
    }

    /// Whether a person must do something that is not in the new manifests.
    pub fn is_open(&self) -> bool {
        self.items.iter().any(|item| matches!(item.section, Section::NotRead | Section::ByHand))
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// As Markdown.
    pub fn print(&self) -> String {
        let mut out = "# Migration to Keysluice\n".to_owned();
        if self.items.is_empty() {
            out += "\nNothing to migrate: no pod uses the Secrets Store CSI driver, AAD Pod \
                Identity, akv2k8s or Vault Agent.\n";
            return out;
        }
        for (section, heading, about) in Section::ALL {
            let items: Vec<_> = self.items.iter().filter(|item| item.section == section).collect();
            if items.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n## {heading}\n\n{about}\n");
            for Item { owner, text, .. } in items {
                let _ = writeln!(out, "- {owner}: {text}");
            }
        }
        for (heading, text) in &self.guides {
            let _ = writeln!(out, "\n## {heading}\n\n{}", text.trim_end());
        }
        out
    }
}
