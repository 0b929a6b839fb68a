use std::{collections::VecDeque, time::Duration};

/// A server-sent event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ServerSentEvent {
    /// The type; empty for the default type.
    pub(super) kind: String,
    pub(super) data: String,
    /// The id that the event itself has.
    pub(super) id: Option<String>,
}

/// Splits a stream of bytes into server-sent events, as the HTML standard defines them.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    line: Vec<u8>,
    /// A line feed now belongs to the carriage return before it.
    is_after_return: bool,
    is_after_first_line: bool,
    event: ServerSentEvent,
    ready: VecDeque<ServerSentEvent>,
    retry: Option<Duration>,
}

impl EventParser {
    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if an event is larger than [`MAX_EVENT`].
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let is_after_return = std::mem::take(&mut self.is_after_return);
            if !(is_after_return && part == b"\n") {
                self.push_part(part)?;
            }
        }
        Ok(())
    }

    /// Returns the next event that is complete.
    pub(super) fn next(&mut self) -> Option<ServerSentEvent> {
        self.ready.pop_front()
    }

    /// Returns the time that the server wants clients to wait before they connect again.
    pub(super) const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Adds a part of a line, or the end of one.
    fn push_part(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        let (text, end) = match part {
            [text @ .., end @ (b'\n' | b'\r')] => (text, Some(*end)),
            text => (text, None),
        };
        if self.line.len() + text.len() + self.event.data.len() > MAX_EVENT {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(text);
        if let Some(end) = end {
            self.is_after_return = end == b'\r';
            let line = std::mem::take(&mut self.line);
            self.end_line(&String::from_utf8_lossy(&line));
        }
        Ok(())
    }

    fn end_line(&mut self, line: &str) {
        let is_first = !std::mem::replace(&mut self.is_after_first_line, true);
        let line = if is_first { line.trim_start_matches('\u{feff}') } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // A comment, or a field of a newer server.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let mut event = std::mem::take(&mut self.event);
        if event.data.pop().is_some() {
            self.ready.push_back(event);
        }
    }
}

/// The error for an event that is larger than [`MAX_EVENT`].
#[derive(Debug)]
pub(super) struct TooLarge;

/// A view of a canary with eight monitors takes about 15 kB.
pub(super) const MAX_EVENT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\nretry: 500\n\nevent: view\ndata: {\"a\":\ndata:1}\n\n\
        id: 7-1\r\nevent: event\r\ndata:  x\r\n\r\ndata\rid:8\r\rid: 9\r\n\nunknown: 1\ndata: \u{fc}\n\n\
        data: unfinished";

    fn events(
        parts: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> (Vec<ServerSentEvent>, EventParser) {
        let mut parser = EventParser::default();
        parts.for_each(|part| parser.push(part.as_ref()).unwrap());
        (std::iter::from_fn(|| parser.next()).collect(), parser)
    }

    #[test]
    fn a_stream_is_read_as_the_standard_says() {
        let (events, parser) = events([STREAM].iter());
        let event = |kind: &str, data: &str, id: Option<&str>| ServerSentEvent {
            kind: kind.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        };
        assert_eq!(
            events,
            [
                event("view", "{\"a\":\n1}", None),
                event("event", " x", Some("7-1")),
                event("", "", Some("8")),
                event("", "\u{fc}", None),
            ]
        );
        assert_eq!(parser.retry(), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_parts_in_which_bytes_arrive_do_not_matter() {
        let whole = events([STREAM].iter()).0;
        for size in 1..STREAM.len() {
            assert_eq!(events(STREAM.as_bytes().chunks(size)).0, whole, "parts of {size} bytes");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        for part in ["data: x", "data: xxxxxxxx\n"] {
            let mut parser = EventParser::default();
            let pushed = (0..=MAX_EVENT).find(|_| parser.push(part.as_bytes()).is_err());
            assert!(pushed.is_some_and(|pushed| pushed >= MAX_EVENT / part.len()), "{part:?}");
        }
    }
}
