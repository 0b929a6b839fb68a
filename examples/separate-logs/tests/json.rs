//! The JSON files.
#![allow(clippy::unwrap_used)]

mod support;

use separate_logs::Format;
use serde_json::Value;
use tower_canary::Channel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_object_is_in_the_file_of_its_channel() {
    let files = support::lines_of_calls(Format::Json).await;
    for channel in Channel::ALL {
        let lines: Vec<Value> =
            files[channel].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (what, times) in support::expected(channel) {
            let matches = |line: &&Value| line["message"] == *what || line["path"] == *what;
            assert_eq!(lines.iter().filter(matches).count(), *times, "{what}: {lines:#?}");
        }
        let total: usize = support::expected(channel).iter().map(|(_, times)| times).sum();
        assert_eq!(lines.len(), total, "{lines:#?}");
        for line in lines {
            // Lines of the access log have the fields of the call. Other lines have its span.
            let call = if line["target"] == "access" { &line } else { &line["span"] };
            let is_item_77 = line["id"] == 77 || line["path"] == "/items/77";
            let reason = if is_item_77 { "spilled" } else { "random" };
            assert_eq!(call["canary"], "items", "{line}");
            assert_eq!(call["channel"], channel.as_str(), "{line}");
            assert_eq!(call["reason"], reason, "{line}");
        }
    }
}
