use std::time::Duration;

use canary_api::{
    CanaryView, CommandResponse, Points, PreviewView, Session as ApiSession,
    client::{Client, ClientError},
};
use crossterm::event::Event;
use tokio::sync::mpsc;

use super::{
    app::{App, Wish},
    draw::draw,
    terminal::Screen,
    theme::Theme,
};
use crate::{
    exit::Exit, failure::Failure, follower::Follower, paint, session::Session, times::Times,
};

/// The result of a request that was sent in the background.
#[derive(Debug)]
enum Reply {
    Preview(Result<PreviewView, String>),
    Result(Box<Result<CommandResponse, String>>),
    Points(Points),
    Session(ApiSession),
}

/// Shows the canary until the person quits.
pub(super) async fn watch(session: &Session, view: CanaryView) -> Result<Exit, Failure> {
    let (name, client) = (view.name.clone(), &session.client);
    let app = load(session, view, Theme::new(paint::colors_are_wanted())).await?;
    let after = app.events.iter().rev().find_map(|event| event.id.clone());
    let mut follower = Follower::new(client.clone(), &name, after);
    let background = Background::new(client.clone(), name);
    background.run(app, &mut follower).await
}

/// Returns the app with the latest events.
pub(super) async fn load(
    session: &Session,
    view: CanaryView,
    theme: Theme,
) -> Result<App, Failure> {
    let events = session.client.events(&view.name, None, Some(FIRST_EVENTS)).await?;
    let mut app = App::new(Box::new(view), theme, Times::local());
    events.into_iter().for_each(|event| app.add_event(event));
    Ok(app)
}

/// Sends requests without blocking the screen.
#[derive(Debug)]
struct Background {
    client: Client,
    name: String,
    send: mpsc::UnboundedSender<Reply>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl Background {
    fn new(client: Client, name: String) -> Self {
        let (send, replies) = mpsc::unbounded_channel();
        Self { client, name, send, replies }
    }

    async fn run(mut self, mut app: App, follower: &mut Follower) -> Result<Exit, Failure> {
        self.ask_session();
        let mut refresh = tokio::time::interval(REFRESH_POINTS);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut screen = Screen::open()?;
        loop {
            screen.draw(|frame| draw(frame, &app))?;
            tokio::select! {
                event = screen.next() => match event {
                    Some(Event::Key(key)) => match app.press(key) {
                        Some(Wish::Quit) => return Ok(Exit::Done),
                        Some(Wish::Preview(command)) => self.ask_preview(command),
                        Some(Wish::Give { request, seen }) => self.give(request, seen),
                        None => {}
                    },
                    Some(_) => {}
                    // The terminal is gone.
                    None => return Ok(Exit::Done),
                },
                update = follower.next() => app.update(update?),
                _ = second.tick() => app.pass(Duration::from_secs(1)),
                _ = refresh.tick() => self.ask_points(),
                Some(reply) = self.replies.recv() => match reply {
                    Reply::Preview(preview) => app.show_preview(preview),
                    Reply::Result(result) => app.show_result(*result),
                    Reply::Points(points) => app.points = points,
                    Reply::Session(session) => app.session = Some(session),
                },
            }
        }
    }

    fn ask_session(&self) {
        self.ask(|client, _| async move { Some(Reply::Session(client.session().await.ok()?)) });
    }

    fn ask_points(&self) {
        self.ask(|client, name| async move {
            Some(Reply::Points(client.points(&name, None, Some(1)).await.ok()?))
        });
    }

    fn ask_preview(&self, command: canary_api::Command) {
        self.ask(|client, name| async move {
            let request = canary_api::CommandRequest::new(command, "");
            let preview = client.preview(&name, &request).await;
            Some(Reply::Preview(preview.map_err(|error| sentence(&error))))
        });
    }

    fn give(&self, request: canary_api::CommandRequest, seen: Option<canary_api::EventId>) {
        self.ask(|client, name| async move {
            let result = client.command(&name, &request, seen.as_ref()).await;
            Some(Reply::Result(Box::new(result.map_err(|error| sentence(&error)))))
        });
    }

    fn ask<F>(&self, request: impl FnOnce(Client, String) -> F)
    where
        F: Future<Output = Option<Reply>> + Send + 'static,
    {
        let (request, send) = (request(self.client.clone(), self.name.clone()), self.send.clone());
        tokio::spawn(async move {
            if let Some(reply) = request.await {
                // Fails only after the person has quit.
                let _ = send.send(reply);
            }
        });
    }
}

/// Returns an error with what others have done meanwhile.
fn sentence(error: &ClientError) -> String {
    let events = error.problem().into_iter().flat_map(|problem| &problem.events);
    let others: Vec<_> = events.map(|event| event.sentence.as_str()).collect();
    match others.as_slice() {
        [] => error.to_string(),
        others => format!("{error} (since then: {})", others.join("; ")),
    }
}

const FIRST_EVENTS: u32 = 50;

const REFRESH_POINTS: Duration = Duration::from_secs(2);
