//! A page of a headless browser, driven over the Chrome DevTools Protocol.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{browser::Browser, timeout::complete};

/// A page of a headless browser, with cookies, storage and a cache of its own.
#[derive(Debug)]
pub struct BrowserPage {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Value,
    calls: u64,
    /// The protocol's events that have arrived so far.
    events: Vec<Value>,
    _browser: Arc<SharedBrowser>,
}

impl BrowserPage {
    /// Opens an empty page, in the browser of the pages that this process has open. If there is none,
    /// a browser starts, with its profile in `directory`.
    ///
    /// # Errors
    ///
    /// Returns the reason if no known browser is installed or it does not start.
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self, String> {
        let browser = SharedBrowser::of_this_process(directory.as_ref())?;
        let connected = complete(tokio_tungstenite::connect_async(&browser.url)).await;
        let (socket, _) = connected.map_err(|error| error.to_string())?;
        let session = Value::Null;
        let mut page = Self { socket, session, calls: 0, events: Vec::new(), _browser: browser };
        // It ends with the socket.
        let context = json!({"disposeOnDetach": true});
        let context = page.call("Target.createBrowserContext", context).await;
        let target = json!({
            "url": "about:blank", "browserContextId": context["browserContextId"], "newWindow": true
        });
        let target = page.call("Target.createTarget", target).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", target).await;
        page.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        // Several pages have the focus at the same time.
        page.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await;
        Ok(page)
    }

    /// Loads a URL, and waits for the end of the load. If only the fragment differs, the page stays.
    pub async fn load(&mut self, url: &str) {
        self.events.clear();
        let loaded = self.call("Page.navigate", json!({"url": url})).await;
        assert_eq!(loaded["errorText"], Value::Null, "{url}");
        if !loaded["loaderId"].is_null() {
            complete(self.event("Page.loadEventFired")).await;
        }
    }

    /// Calls a method of the protocol, and returns its result.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.socket.send(Message::text(call.to_string())).await.expect("the browser runs");
        // Events arrive all the time, so that only the whole wait has a limit.
        complete(async {
            loop {
                let mut message = self.next().await;
                if message["id"] == id {
                    assert_eq!(message["error"], Value::Null, "{method}");
                    return message["result"].take();
                }
                self.events.push(message);
            }
        })
        .await
    }

    /// Waits for an event of the protocol.
    async fn event(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == method) {
            let message = self.next().await;
            self.events.push(message);
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = self.socket.next().await.expect("the browser runs");
            if let Message::Text(text) = message.expect("the browser runs") {
                return serde_json::from_str(&text).expect("the protocol is JSON");
            }
        }
    }

    /// Evaluates a JavaScript expression, awaits its promise if it is one, and returns its value.
    ///
    /// # Panics
    ///
    /// If it throws.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", parameters).await;
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// Waits until a JavaScript expression is truthy, and returns its value.
    ///
    /// # Panics
    ///
    /// If it stays falsy, with the text of the page.
    pub async fn wait_for(&mut self, expression: &str) -> Value {
        let look = format!(
            "new Promise((resolve) => {{
                const deadline = Date.now() + 50_000;
                const look = () => {{
                    const value = {expression};
                    if (value) resolve([value]);
                    else if (Date.now() > deadline) resolve(document.body.innerText);
                    else setTimeout(look, 20);
                }};
                look();
            }})"
        );
        let mut found = self.evaluate(&look).await;
        assert!(found.is_array(), "not {expression}: {found}");
        found[0].take()
    }

    /// Presses a key that has no character, such as `Enter`.
    pub async fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code
            });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types a text into the element that has the focus.
    pub async fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Clicks at the center of the element that a JavaScript expression returns, as a mouse does.
    ///
    /// # Panics
    ///
    /// If another element is in front of it.
    pub async fn click(&mut self, element: &str) {
        let center = format!(
            "(() => {{
                const element = {element};
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = element.getBoundingClientRect();
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                const front = document.elementFromPoint(x, y);
                return {{ x, y, isFree: element.contains(front), front: front?.outerHTML }};
            }})()"
        );
        let center = self.evaluate(&center).await;
        assert_eq!(center["isFree"], true, "{element} is behind {}", center["front"]);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": center["x"], "y": center["y"], "button": "left", "clickCount": 1
            });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Takes a picture of the window, as PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        let parameters = json!({"format": "png"});
        let picture = self.call("Page.captureScreenshot", parameters).await;
        let picture = picture["data"].as_str().expect("a picture is a text");
        BASE64.decode(picture).expect("a picture is in base 64")
    }

    /// Returns the errors that the page has caused since the last [`load`](Self::load): exceptions,
    /// violations of its content security policy, and failed requests.
    pub fn errors(&self) -> Vec<String> {
        let is_error = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || event["method"] == "Log.entryAdded"
                    && event["params"]["entry"]["level"] == "error"
        };
        self.events.iter().filter(is_error).map(Value::to_string).collect()
    }

    /// Returns the events of the protocol with a name, since the last [`load`](Self::load).
    pub fn events(&self, method: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["method"] == method)
    }
}

/// A browser starts in a second, so that the tests of a process share one. It ends with its last page.
#[derive(Debug)]
struct SharedBrowser {
    url: String,
    _browser: Browser,
}

impl SharedBrowser {
    fn of_this_process(directory: &Path) -> Result<Arc<Self>, String> {
        static RUNNING: Mutex<Weak<SharedBrowser>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(browser) = running.upgrade() {
            return Ok(browser);
        }
        let (browser, url) = Browser::start_controlled(directory)?;
        let browser = Arc::new(Self { url, _browser: browser });
        *running = Arc::downgrade(&browser);
        Ok(browser)
    }
}
