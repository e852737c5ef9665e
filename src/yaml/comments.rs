//! Comments without white space before them.
//!
//! libyaml and its descendants, kubectl and the Azure provider among them, begin a comment at a `#`
//! wherever a token may begin: after a quoted scalar, a bracket, the header of a block scalar. YAML
//! 1.2 and the parser below want white space there. Within a plain scalar `#` is text for both.

use std::borrow::Cow;

/// The text with a space before each such comment. Lines stay where they are.
pub(crate) fn separate(text: &str) -> Cow<'_, str> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.run();
    if scanner.glued.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut separated = String::with_capacity(text.len() + scanner.glued.len());
    let mut copied = 0;
    for at in scanner.glued {
        separated.push_str(&text[copied..at]);
        separated.push(' ');
        copied = at;
    }
    separated.push_str(&text[copied..]);
    Cow::Owned(separated)
}

/// Follows the tokens as libyaml does, as far as that tells where a token may begin. All indicators
/// are ASCII, so bytes will do.
struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
    line_start: usize,
    /// How many flow collections are open.
    flow: usize,
    /// Columns of the open block collections; content of a block scalar is indented further than
    /// the last.
    indents: Vec<usize>,
    /// Column of what a `:` would make a key.
    key: Option<usize>,
    key_allowed: bool,
    /// Positions of `#`.
    glued: Vec<usize>,
}

impl<'t> Scanner<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        let start = if bytes.starts_with("\u{FEFF}".as_bytes()) { 3 } else { 0 };
        let (indents, glued) = (Vec::new(), Vec::new());
        Self {
            bytes,
            at: start,
            line_start: start,
            flow: 0,
            indents,
            key: None,
            key_allowed: true,
            glued,
        }
    }

    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\n' | b'\r' => self.line_break(),
                b'#' => self.comment(),
                _ => self.token(byte),
            }
        }
    }

    fn token(&mut self, byte: u8) {
        let column = self.column();
        if self.flow == 0 {
            self.close_blocks(column);
        }
        if self.is_document_marker() {
            self.indents.clear();
            (self.key, self.key_allowed) = (None, false);
            self.at += 3;
            return;
        }
        let indicator = self.flow == 0 && self.is_blank_or_end(1);
        match byte {
            b'%' if column == 0 && self.flow == 0 => self.skip_line(),
            b'[' | b'{' => {
                self.begin_key(column);
                self.flow += 1;
                self.at += 1;
            }
            b']' | b'}' => {
                self.flow = self.flow.saturating_sub(1);
                self.at += 1;
            }
            b',' if self.flow > 0 => self.at += 1,
            b'?' | b':' if self.flow > 0 && self.is_blank_or_end(1) => self.at += 1,
            b'-' | b'?' if indicator => {
                self.open_block(column);
                (self.key, self.key_allowed) = (None, true);
                self.at += 1;
            }
            b':' if indicator => {
                let key = self.key.take();
                self.open_block(key.unwrap_or(column));
                self.key_allowed = key.is_none();
                self.at += 1;
            }
            // Behind a quoted key, as in JSON.
            b':' if self.flow > 0 && self.follows_quote() => self.at += 1,
            b'|' | b'>' if self.flow == 0 => self.block_scalar(),
            b'\'' | b'"' => {
                self.begin_key(column);
                self.quoted(byte);
            }
            b'&' | b'*' | b'!' => {
                self.begin_key(column);
                self.property();
            }
            _ => {
                self.begin_key(column);
                self.plain();
            }
        }
    }

    fn comment(&mut self) {
        if self.at > self.line_start && !matches!(self.bytes[self.at - 1], b' ' | b'\t') {
            self.glued.push(self.at);
        }
        self.skip_line();
    }

    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' | b'\r' => self.line_break(),
                b'\\' if quote == b'"' => {
                    self.at += 1;
                    if !matches!(self.peek(0), None | Some(b'\n' | b'\r')) {
                        self.at += 1;
                    }
                }
                _ if byte != quote => self.at += 1,
                b'\'' if self.peek(1) == Some(b'\'') => self.at += 2,
                _ => {
                    self.at += 1;
                    break;
                }
            }
        }
        self.key_allowed = false;
    }

    /// An anchor, an alias or a tag. A `#` that touches one is an error for everybody.
    fn property(&mut self) {
        self.at += 1;
        while !(self.is_blank_or_end(0)
            || (self.flow > 0 && matches!(self.peek(0), Some(b',' | b']' | b'}'))))
        {
            self.at += 1;
        }
    }

    /// A plain scalar, which may go on over several lines.
    fn plain(&mut self) {
        self.at += 1;
        loop {
            while let Some(byte) = self.peek(0) {
                let ends = match byte {
                    b'\n' | b'\r' => break,
                    b' ' | b'\t' => {
                        self.bytes[self.at..].iter().find(|b| !matches!(b, b' ' | b'\t'))
                            == Some(&b'#')
                    }
                    b':' => self.is_blank_or_end(1),
                    b',' | b'[' | b']' | b'{' | b'}' => self.flow > 0,
                    _ => false,
                };
                if ends {
                    return;
                }
                self.at += 1;
            }
            while let Some(byte) = self.peek(0) {
                match byte {
                    b' ' | b'\t' => self.at += 1,
                    b'\n' | b'\r' => self.line_break(),
                    _ => break,
                }
            }
            let outside = self.flow == 0
                && self.indents.last().is_some_and(|indent| self.column() <= *indent);
            if matches!(self.peek(0), None | Some(b'#')) || outside || self.is_document_marker() {
                return;
            }
            self.key_allowed = false;
        }
    }

    /// From the indicator to the first line that is not content.
    fn block_scalar(&mut self) {
        self.at += 1;
        let mut digit = None;
        while let Some(byte @ (b'+' | b'-' | b'0'..=b'9')) = self.peek(0) {
            digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0')).or(digit);
            self.at += 1;
        }
        while matches!(self.peek(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        match self.peek(0) {
            Some(b'#') => self.comment(),
            None | Some(b'\n' | b'\r') => {}
            // Not a header.
            Some(_) => return,
        }
        let parent = self.indents.last().copied();
        let mut indent = digit.map(|digit| parent.unwrap_or(0) + digit);
        while self.peek(0).is_some() {
            self.line_break();
            let line = self.at;
            while self.peek(0) == Some(b' ') && indent.is_none_or(|indent| self.column() < indent) {
                self.at += 1;
            }
            if matches!(self.peek(0), None | Some(b'\n' | b'\r')) {
                continue;
            }
            let least = parent.map_or(1, |parent| parent + 1);
            let column = self.column();
            if column < *indent.get_or_insert_with(|| column.max(least)) {
                self.at = line;
                return;
            }
            self.skip_line();
        }
    }

    fn begin_key(&mut self, column: usize) {
        if self.flow == 0 && std::mem::take(&mut self.key_allowed) {
            self.key = Some(column);
        }
    }

    fn open_block(&mut self, column: usize) {
        if self.indents.last().is_none_or(|last| *last < column) {
            self.indents.push(column);
        }
    }

    fn close_blocks(&mut self, column: usize) {
        while self.indents.last().is_some_and(|last| *last > column) {
            self.indents.pop();
        }
    }

    fn line_break(&mut self) {
        self.at += if self.bytes[self.at..].starts_with(b"\r\n") { 2 } else { 1 };
        self.line_start = self.at;
        if self.flow == 0 {
            (self.key, self.key_allowed) = (None, true);
        }
    }

    fn skip_line(&mut self) {
        while !matches!(self.peek(0), None | Some(b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn is_document_marker(&self) -> bool {
        let marker =
            self.bytes[self.at..].starts_with(b"---") || self.bytes[self.at..].starts_with(b"...");
        marker && self.column() == 0 && self.is_blank_or_end(3)
    }

    /// Whether the token before ends here, as the key of JSON does at its `:`.
    fn follows_quote(&self) -> bool {
        self.at > 0 && matches!(self.bytes[self.at - 1], b'"' | b'\'' | b']' | b'}')
    }

    fn is_blank_or_end(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), None | Some(b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }
}
