//! A client of the API, over HTTP/1.1 and TLS.
//!
//! ```no_run
//! // Needs a server.
//! use canary_api::{
//!     Command, CommandRequest, StreamItem,
//!     client::{Client, ClientError},
//! };
//! use futures_util::StreamExt;
//!
//! # async fn run() -> Result<(), ClientError> {
//! let client = Client::new("http://127.0.0.1:3000/canary/")?;
//! let shop = client.canary("shop").await?;
//! println!("{}: {}", shop.name, shop.summary);
//!
//! let pause = CommandRequest::new(Command::Pause, "lunch");
//! println!("{}", client.preview("shop", &pause).await?.effect);
//! client.command("shop", &pause, None).await?;
//!
//! let mut stream = client.stream("shop", shop.latest);
//! while let Some(item) = stream.next().await {
//!     match item {
//!         Ok(StreamItem::Event(event)) => println!("{} {}", event.at, event.sentence),
//!         Ok(_) => {}
//!         // The stream connects again by itself. After a final error it ends.
//!         Err(error) => eprintln!("not live: {error}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Proxies are not supported, and redirects are not followed.

mod base_url;
mod builder;
mod error;
mod event_parser;
mod event_stream;
mod requests;
mod tls;
mod transport;

pub use self::{
    builder::{Client, ClientBuilder},
    error::ClientError,
    event_stream::EventStream,
};
