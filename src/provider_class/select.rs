//! The parameter `select`: files whose names only the vault knows.

use super::document::{Document, NodeId};
use super::documents;
use super::doubts::Doubts;
use super::error::{ClassCause, ClassError, SelectCause};
use super::object::{encoding, format};
use super::reference::{self, SELECT_FIELDS};
use super::vault::VaultChoice;
use super::{Allowlist, SelectionPlan};
use crate::cloud::Cloud;
use crate::reason;
use keysluice_plan::{ObjectName, RelativePath, VaultUrl, check_selection_directory};

const MOST_SELECTIONS: usize = 16;
const LIMIT_BYTES: usize = 64 * 1024;
const MOST_VALUES: usize = 2048;

/// Reads all selections; `vault` is the class's.
pub(super) fn parse(
    text: &str,
    vault: &VaultUrl,
    cloud: &Cloud,
    limits: &Allowlist,
    doubts: &mut Doubts,
) -> Result<Vec<SelectionPlan>, ClassError> {
    if text.len() > LIMIT_BYTES {
        return Err(at("select", SelectCause::Size { limit: LIMIT_BYTES }).into());
    }
    let document = Document::parse(text, MOST_VALUES)
        .map_err(|error| at("select", SelectCause::Document(error)))?;
    if let Some(line) = documents::second(text) {
        return Err(at("select", SelectCause::Documents { line }).into());
    }
    let mut selections = Vec::new();
    for (place, node) in places(&document).map_err(|source| at("select", source))? {
        let (selection, choice) =
            read(&document, node, vault).map_err(|source| at(&place, source))?;
        let own = choice.resolve(cloud, limits);
        let own = own.map_err(|source| ClassCause::Within { place: place.clone(), source })?;
        let selection = SelectionPlan { vault: own.unwrap_or(selection.vault), ..selection };
        if selection.name_prefix.is_none() && selection.tags.is_empty() {
            doubts.add(reason::KS144, || {
                format!("{place}: every enabled secret of {} becomes a file", selection.vault)
            });
        }
        selections.push(selection);
    }
    Ok(selections)
}

fn at(place: &str, source: SelectCause) -> ClassCause {
    ClassCause::Select { place: place.to_owned(), source }
}

/// The selections of a document, each with what messages call it.
fn places(document: &Document<'_>) -> Result<Vec<(String, NodeId)>, SelectCause> {
    let Some(root) = document.root() else { return Ok(Vec::new()) };
    let Some(items) = document.sequence(root) else { return Ok(vec![("select".to_owned(), root)]) };
    if items.len() > MOST_SELECTIONS {
        return Err(SelectCause::TooMany { limit: MOST_SELECTIONS });
    }
    Ok(items.iter().enumerate().map(|(index, item)| (format!("select[{index}]"), *item)).collect())
}

fn read(
    document: &Document<'_>,
    node: NodeId,
    vault: &VaultUrl,
) -> Result<(SelectionPlan, VaultChoice), SelectCause> {
    let mut plan = SelectionPlan::all_of(vault.clone());
    let mut choice = VaultChoice::default();
    for (key, value) in
        document.fields_of(node, "map[string]string").map_err(SelectCause::Document)?
    {
        let Some(entry) = reference::find(SELECT_FIELDS, key) else {
            let near = reference::nearest(SELECT_FIELDS, key);
            return Err(SelectCause::Unknown { field: key.to_owned(), near });
        };
        let field = entry.name;
        if field == "tags" {
            let tags = document.fields_of(value, "map[string]string");
            for (tag, value) in tags.map_err(SelectCause::field(field))? {
                let value = document.string(value).map_err(SelectCause::field(field))?;
                plan.tags.insert(tag.to_owned(), value.unwrap_or_default().to_owned());
            }
            continue;
        }
        let text = document.string(value).map_err(SelectCause::field(field))?;
        let text = text.unwrap_or_default().trim();
        if !text.is_empty() {
            set(&mut plan, &mut choice, field, text)?;
        }
    }
    Ok((plan, choice))
}

fn set(
    plan: &mut SelectionPlan,
    choice: &mut VaultChoice,
    field: &'static str,
    text: &str,
) -> Result<(), SelectCause> {
    match field {
        "namePrefix" => {
            let fits = text.len() <= ObjectName::MAX_BYTES
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let prefix =
                fits.then(|| text.to_owned()).ok_or_else(|| SelectCause::Prefix(text.to_owned()));
            plan.name_prefix = Some(prefix?);
        }
        "directory" => {
            let directory: RelativePath = text.parse().map_err(SelectCause::Directory)?;
            check_selection_directory(&directory).map_err(SelectCause::Directory)?;
            plan.directory = Some(directory);
        }
        "filePermission" => {
            plan.mode = text.parse().map_err(SelectCause::Permission)?;
        }
        "objectFormat" => {
            plan.format = format(text).ok_or_else(|| SelectCause::Format(text.to_owned()))?;
        }
        "objectEncoding" => {
            plan.encoding = encoding(text).ok_or_else(|| SelectCause::Encoding(text.to_owned()))?;
        }
        "fileOwner" => plan.owner = Some(id(field, text)?),
        "fileGroup" => plan.group = Some(id(field, text)?),
        "keyvaultName" => text.clone_into(&mut choice.name),
        "vaultUrl" => text.clone_into(&mut choice.url),
        _ => {}
    }
    Ok(())
}

fn id(field: &'static str, text: &str) -> Result<u32, SelectCause> {
    text.parse().map_err(|_| SelectCause::Id { field, value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::Warning;
    use super::*;
    use keysluice_plan::{ObjectEncoding, ObjectFormat};

    fn selections(text: &str) -> Result<(Vec<SelectionPlan>, Vec<Warning>), String> {
        let cloud = Cloud::well_known("").unwrap();
        let limits = Allowlist { vaults: vec!["kv-*".to_owned()], tenants: vec![] };
        let mut doubts = Doubts::default();
        let vault = cloud.vault_url("kv-1").unwrap();
        let read =
            parse(text, &vault, &cloud, &limits, &mut doubts).map_err(|error| error.to_string())?;
        Ok((read, doubts.into_warnings()))
    }

    #[test]
    fn a_selection_says_which_where_and_how() {
        let text = "namePrefix: App-\ntags: {env: prod, tier: 1, empty: }\ndirectory: \
            config/app\nfilePermission: 0440\nobjectFormat: PFX\n\
                    objectEncoding: Base64\nfileOwner: 1000\nfileGroup: '3000'\nkeyvaultName: \
                    kv-2\n";
        let (read, warnings) = selections(text).unwrap();
        let expected = SelectionPlan {
            directory: Some("config/app".parse().unwrap()),
            mode: "0440".parse().unwrap(),
            vault: "https://kv-2.vault.azure.net/".parse().unwrap(),
            name_prefix: Some("App-".to_owned()),
            tags: [("env", "prod"), ("tier", "1"), ("empty", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            format: ObjectFormat::Pfx,
            encoding: ObjectEncoding::Base64,
            owner: Some(1000),
            group: Some(3000),
        };
        assert_eq!((read, warnings), (vec![expected], vec![]));
    }

    #[test]
    fn one_or_several_and_all_secrets_only_with_a_warning() {
        for (text, prefixes, codes) in [
            ("", &[][..], &[][..]),
            ("~", &[], &[]),
            ("namePrefix: a", &["a"], &[]),
            ("- namePrefix: a\n- {namePrefix: b}", &["a", "b"], &[]),
            ("{}", &[""], &["KS144"]),
            ("directory: d", &[""], &["KS144"]),
        ] {
            let (read, warnings) = selections(text).unwrap();
            let found = read.iter().map(|one| one.name_prefix.as_deref().unwrap_or_default());
            assert_eq!(found.collect::<Vec<_>>(), prefixes, "{text}");
            let found = warnings.iter().map(|warning| warning.reason.code);
            assert_eq!(found.collect::<Vec<_>>(), codes, "{text}");
        }
    }

    #[test]
    fn refused_selections_name_place_and_field() {
        let many = format!("[{}]", "{namePrefix: a},".repeat(17));
        for (text, expected) in [
            (
                "nameprefix: a",
                "KS138 select: field \"nameprefix\" is unknown; hint: did you mean namePrefix?",
            ),
            ("- {}\n- {regex: a}", "KS138 select[1]: field \"regex\" is unknown; hint: "),
            (
                "namePrefix: app_",
                "KS138 select: namePrefix \"app_\" is not made of letters, digits and hyphens",
            ),
            (
                "namePrefix: [a]",
                "KS138 select: namePrefix: yaml: unmarshal errors: line 1: cannot unmarshal !!seq \
                 into string",
            ),
            (
                "tags: [a]",
                "KS138 select: tags: yaml: unmarshal errors: line 1: cannot unmarshal !!seq into \
                 map[string]string",
            ),
            ("tags: {a: [b]}", "KS138 select: tags: "),
            (
                "app-",
                "KS138 select: yaml: unmarshal errors: line 1: cannot unmarshal !!str `app-` into \
                 map[string]string",
            ),
            (
                "namePrefix: a\nnamePrefix: b",
                "KS138 select: yaml: unmarshal errors: line 2: mapping key \"namePrefix\" already \
                 defined",
            ),
            ("a: [", "KS138 select: yaml: line"),
            ("directory: ../x", "KS125 select: directory: file name must not contain '..'"),
            ("directory: /x", "KS125 select: directory: file name must be a relative path"),
            ("filePermission: rw", "KS107 select: filePermission \"rw\" is not octal"),
            ("objectFormat: der", "KS123 select: invalid objectFormat: der, should be PEM or PFX"),
            (
                "objectEncoding: utf-16",
                "KS124 select: invalid objectEncoding: utf-16, should be hex, base64 or utf-8",
            ),
            ("fileOwner: app", "KS137 select: fileOwner \"app\" is not a numeric id"),
            ("fileGroup: -1", "KS137 select: fileGroup \"-1\" is not a numeric id"),
            (
                "- keyvaultName: other",
                "KS118 select[0]: keyvaultName \"other\" is not among the vaults",
            ),
            (many.as_str(), "KS138 select: there are more than 16 selections"),
        ] {
            let error = selections(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert_eq!(error.matches("; hint: ").count(), 1, "{error}");
        }
    }
}
