use std::{io, thread, time::Duration};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// The terminal, which is restored when this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
    input: mpsc::UnboundedReceiver<Event>,
}

impl Screen {
    /// Takes the whole terminal. A panic restores it, too.
    pub(super) fn open() -> Result<Self, Failure> {
        let terminal = ratatui::try_init()
            .map_err(|error| Failure::error(format!("cannot use the terminal: {error}")))?;
        let (send, input) = mpsc::unbounded_channel();
        let end = send.clone();
        tokio::spawn(async move {
            if asked_to_end().await.is_ok() {
                let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
                // Fails only after the person has quit.
                let _ = end.send(Event::Key(key));
            }
        });
        thread::spawn(move || read(&send));
        Ok(Self { terminal, input })
    }

    pub(super) fn draw(
        &mut self,
        render: impl FnOnce(&mut ratatui::Frame<'_>),
    ) -> Result<(), Failure> {
        self.terminal.draw(render)?;
        Ok(())
    }

    /// Returns the next event of the terminal; `None` if it is closed.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.input.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Waits for a signal to end. Without this, the signal would leave the terminal as it is.
#[cfg(unix)]
async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked_to_end() -> io::Result<()> {
    std::future::pending().await
}

/// Reads the terminal until the screen is dropped. Reading blocks, so it has a thread of its own.
fn read(send: &mpsc::UnboundedSender<Event>) {
    while !send.is_closed() {
        match event::poll(POLL) {
            Ok(false) => {}
            Ok(true) => {
                let Ok(event) = event::read() else { return };
                if send.send(event).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// How long the thread can outlive the screen.
const POLL: Duration = Duration::from_millis(100);
