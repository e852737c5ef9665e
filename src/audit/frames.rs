//! Splits a log into its records, one at a time: JSON lines, `{"records": […]}` as Event Hubs and
//! older storage have it, or an array. What cannot be read ends at the end of its line.

use std::io::{self, Read};

/// A record of Key Vault has about 1.5 KB.
const MAX_RECORD_BYTES: usize = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A piece of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A JSON object.
    Record {
        /// The line on which it begins, from 1.
        line: u64,
        /// Its bytes.
        json: &'a [u8],
    },
    /// Something else.
    Malformed {
        /// The line on which it begins, from 1.
        line: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The records of a log.
#[derive(Debug)]
pub struct Frames<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is before it was given out.
    at: usize,
    line: u64,
    /// Objects with `records` that are open.
    wrappers: usize,
    has_ended: bool,
}

/// How a record ends, and the index after it.
enum End {
    Whole(usize),
    Broken(usize, &'static str),
    /// The rest of the line belongs to it.
    BrokenLine(usize, &'static str),
}

impl<R: Read> Frames<R> {
    /// Of this source, which needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), at: 0, line: 1, wrappers: 0, has_ended: false }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        if self.line == 1 && self.at == 0 {
            self.skip_mark()?;
        }
        while let Some(byte) = self.peek()? {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' | b'[' | b']' => {}
                b'}' if self.wrappers > 0 => self.wrappers -= 1,
                b'{' => match self.wrapper_bytes()? {
                    Some(bytes) => {
                        self.wrappers += 1;
                        self.pass(bytes - 1);
                    }
                    None => return self.record().map(Some),
                },
                _ => return self.broken_line("not a JSON object").map(Some),
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn skip_mark(&mut self) -> io::Result<()> {
        while self.buffer.len() < BYTE_ORDER_MARK.len() && self.fill()? {}
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
        Ok(())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        while self.at == self.buffer.len() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer[self.at]))
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.has_ended {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK_BYTES, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        self.has_ended = read? == 0;
        Ok(!self.has_ended)
    }

    /// Passes over bytes of the buffer.
    fn pass(&mut self, bytes: usize) {
        let passed = &self.buffer[self.at..self.at + bytes];
        self.line += passed.split(|byte| *byte == b'\n').count() as u64 - 1;
        self.at += bytes;
    }

    /// The length of `{"records": [`, where that comes next.
    fn wrapper_bytes(&mut self) -> io::Result<Option<usize>> {
        const HEAD: [&[u8]; 4] = [b"{", b"\"records\"", b":", b"["];
        // White space between them may be anything, but not much.
        while self.buffer.len() - self.at < 64 && self.fill()? {}
        let text = &self.buffer[self.at..];
        let mut index = 0;
        for part in HEAD {
            index += text[index..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if !text[index..].starts_with(part) {
                return Ok(None);
            }
            index += part.len();
        }
        Ok(Some(index))
    }

    /// The object that begins here.
    fn record(&mut self) -> io::Result<Frame<'_>> {
        let line = self.line;
        match self.end_of_record()? {
            End::Whole(end) => {
                let start = self.at;
                self.pass(end);
                Ok(Frame::Record { line, json: &self.buffer[start..start + end] })
            }
            End::Broken(end, problem) => {
                self.pass(end);
                Ok(Frame::Malformed { line, problem })
            }
            End::BrokenLine(end, problem) => {
                self.pass(end);
                self.broken_line(problem)?;
                Ok(Frame::Malformed { line, problem })
            }
        }
    }

    /// Where the object ends that begins here, counted from its beginning.
    fn end_of_record(&mut self) -> io::Result<End> {
        let (mut index, mut depth, mut is_string, mut is_escaped) = (0, 0_usize, false, false);
        let mut was_break = false;
        loop {
            for &byte in &self.buffer[self.at + index..] {
                let is_first = std::mem::replace(&mut was_break, byte == b'\n');
                match byte {
                    b'\n' if is_string => {
                        return Ok(End::BrokenLine(index, "a line ends within a string"));
                    }
                    _ if is_escaped => is_escaped = false,
                    b'\\' if is_string => is_escaped = true,
                    b'"' => is_string = !is_string,
                    _ if is_string => {}
                    // A record that lacks its end must not take the next one with it.
                    _ if is_first && !continues(byte) => {
                        return Ok(End::Broken(index, "the record has no end"));
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Ok(End::Whole(index + 1));
                        }
                    }
                    _ => {}
                }
                index += 1;
            }
            if index > MAX_RECORD_BYTES {
                return Ok(End::BrokenLine(index, "the record is longer than 1 MiB"));
            }
            if !self.fill()? {
                return Ok(End::Broken(index, "the record has no end"));
            }
        }
    }

    /// Passes over the rest of the line.
    fn broken_line(&mut self, problem: &'static str) -> io::Result<Frame<'_>> {
        let line = self.line;
        while self.peek()?.is_some() {
            let rest = &self.buffer[self.at..];
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(index) => {
                    self.at += index;
                    break;
                }
                None => self.at = self.buffer.len(),
            }
        }
        Ok(Frame::Malformed { line, problem })
    }
}

/// Whether a line with this first byte may continue an object that is written in several lines.
fn continues(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"}],".contains(&byte)
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
