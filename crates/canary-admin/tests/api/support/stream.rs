use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::Call;

/// An open stream of server-sent events.
pub(crate) struct Stream {
    lines: BufReader<TcpStream>,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) event: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Stream {
    /// Opens a stream with this path, after an event if there is one.
    pub(crate) async fn open(addr: SocketAddr, path: &str, last: Option<&str>) -> Self {
        let mut call = Call::new("GET", path).header("accept", "text/event-stream");
        if let Some(last) = last {
            call = call.header("last-event-id", last);
        }
        Self::open_as(addr, call).await
    }

    /// Opens the stream that this request asks for.
    pub(crate) async fn open_as(addr: SocketAddr, call: Call) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // In HTTP/1.0, the body is not divided into chunks.
        stream.write_all(&call.bytes("HTTP/1.0")).await.unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(lines.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        Self { lines }
    }

    /// Returns the next item, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        let mut item = Item { event: String::new(), id: None, data: Value::Null };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", event)) => event.clone_into(&mut item.event),
                Some(("id", id)) => item.id = Some(id.to_owned()),
                Some(("data", data)) => item.data = serde_json::from_str(data).unwrap(),
                _ if line.trim_end().is_empty() && !item.event.is_empty() => return Some(item),
                _ => {}
            }
        }
    }

    /// Returns the next item of this kind.
    pub(crate) async fn next_of(&mut self, event: &str) -> Item {
        loop {
            let item = self.next().await.expect("the stream goes on");
            if item.event == event {
                return item;
            }
        }
    }

    /// Waits for a comment, which a client ignores.
    pub(crate) async fn comment(&mut self) {
        let mut line = String::new();
        while !line.starts_with(':') {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).await.unwrap(), 0, "the stream goes on");
        }
    }

    /// Returns the ids of the next events.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.extend(self.next_of("event").await.id);
        }
        ids
    }
}
