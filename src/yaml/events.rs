//! The events of a text, also where comments touch what stands before them.

use super::comments;
use granit_parser::{Event, Parser, ScanError, Tag};
use std::borrow::Cow;

/// Gives each event with its line to `take`, until that says that there is enough. If the text
/// cannot be read because comments touch what stands before them, all events come again, from
/// [`Event::StreamStart`] on, with those comments set apart.
pub(crate) fn events<'t>(
    text: &'t str,
    mut take: impl FnMut(Event<'t>, usize) -> bool,
) -> Result<(), ScanError> {
    let error = match each(text, &mut take) {
        Err(error) if text.contains('#') => error,
        read => return read,
    };
    match comments::separate(text) {
        Cow::Borrowed(_) => Err(error),
        Cow::Owned(separated) => each(&separated, |event, line| take(owned(event), line)),
    }
}

fn each<'t>(
    text: &'t str,
    mut take: impl FnMut(Event<'t>, usize) -> bool,
) -> Result<(), ScanError> {
    let options = granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next?;
        if take(event, span.start.line()) {
            break;
        }
    }
    Ok(())
}

/// The event without what it borrows; those that no document is made of become the end of the
/// stream.
fn owned<'t>(event: Event<'_>) -> Event<'t> {
    match event {
        Event::StreamStart => Event::StreamStart,
        Event::DocumentStart(explicit, version) => Event::DocumentStart(explicit, version),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(anchor) => Event::Alias(anchor),
        Event::Scalar(text, style, anchor, name) => {
            Event::Scalar(Cow::Owned(text.into_owned()), style, anchor, owned_tag(name))
        }
        Event::SequenceStart(style, anchor, name) => {
            Event::SequenceStart(style, anchor, owned_tag(name))
        }
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingStart(style, anchor, name) => {
            Event::MappingStart(style, anchor, owned_tag(name))
        }
        Event::MappingEnd => Event::MappingEnd,
        _ => Event::StreamEnd,
    }
}

fn owned_tag<'t>(tag: Option<Cow<'_, Tag>>) -> Option<Cow<'t, Tag>> {
    tag.map(|tag| Cow::Owned(tag.into_owned()))
}
