//! The text files.
#![allow(clippy::unwrap_used)]

mod support;

use separate_logs::Format;
use tower_canary::Channel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_is_in_the_file_of_its_channel() {
    let files = support::lines_of_calls(Format::Text).await;
    for channel in Channel::ALL {
        let lines = &files[channel];
        for (what, times) in support::expected(channel) {
            let matches = |line: &&String| {
                line.contains(&format!(": {what}")) || line.contains(&format!("path=\"{what}\""))
            };
            assert_eq!(lines.iter().filter(matches).count(), *times, "{what}: {lines:#?}");
        }
        let total: usize = support::expected(channel).iter().map(|(_, times)| times).sum();
        assert_eq!(lines.len(), total, "{lines:#?}");
        for line in lines {
            let is_item_77 = line.contains("id=77") || line.contains("/items/77");
            let reason = if is_item_77 { "spilled" } else { "random" };
            let call = format!("channel=\"{channel}\" reason=\"{reason}\"");
            assert!(line.contains(&call), "{call} in {line}");
        }
    }
    let panicked = files.canary.iter().find(|line| line.contains("/items/13")).unwrap();
    assert!(panicked.contains("status=500"), "{panicked}");
}
