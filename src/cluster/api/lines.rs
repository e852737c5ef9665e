//! Cuts the body of a watch into its lines.

/// Cuts a stream of chunks into lines; a line within one chunk is not copied.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// An object is at most 1.5 MiB in the API server's store, 3 MiB where that was raised; more
    /// than this is no event.
    const LIMIT_BYTES: usize = 4 << 20;
    /// Large lines grow by this much and not by doubling, which would take twice their size.
    const STEP_BYTES: usize = 256 << 10;
    /// A buffer that one large object made larger than this is given back.
    const KEEP_BYTES: usize = 16 << 10;

    /// Calls `each` with every line that is complete now. What is left when the stream breaks off
    /// was never an event.
    pub(super) fn feed<E: From<LineTooLong>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pieces = chunk.split(|byte| *byte == b'\n');
        // `split` gives at least one piece; the last has no end yet.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() {
                each_line(piece, &mut each)?;
            } else {
                self.partial.extend_from_slice(piece);
                let line = std::mem::take(&mut self.partial);
                each_line(&line, &mut each)?;
                if line.capacity() <= Self::KEEP_BYTES {
                    self.partial = line;
                    self.partial.clear();
                }
            }
        }
        if self.partial.len() + rest.len() > Self::LIMIT_BYTES {
            return Err(LineTooLong.into());
        }
        let free = self.partial.capacity() - self.partial.len();
        if free < rest.len() && self.partial.len() >= Self::STEP_BYTES {
            self.partial.reserve_exact(rest.len().max(Self::STEP_BYTES));
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

fn each_line<E>(line: &[u8], each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    if line.iter().all(u8::is_ascii_whitespace) { Ok(()) } else { each(line) }
}

/// No newline for more than 4 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineTooLong;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut read) = (Lines::default(), Vec::new());
        for chunk in chunks {
            let fed: Result<(), LineTooLong> = splitter.feed(chunk, |line| {
                read.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            });
            fed.unwrap();
        }
        read
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_chunks_are_cut(
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec(0usize..60, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
            let written = complete.split('\n').filter(|line| !line.is_empty());
            let expected: Vec<_> = written.map(str::to_owned).collect();
            prop_assert_eq!(lines(&chunks), expected);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_the_limit() {
        let (mut splitter, chunk) = (Lines::default(), vec![b'x'; 1 << 20]);
        for expected in [Ok(()), Ok(()), Ok(()), Ok(()), Err(LineTooLong)] {
            assert_eq!(splitter.feed(&chunk, |_| Ok(())), expected);
        }
    }
}
