//! Requests that wait for their turn, and the one that is being answered.
//!
//! One at a time: answers come in order, and what a client can make a connection hold is bounded.

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
};

use rtsp_proto::{Reply, Request};

use crate::control::{Answer, Control};

/// The requests of one connection.
pub(super) struct Queue {
    waiting: VecDeque<Turn>,
    /// Here while nothing is being answered.
    control: Option<Control>,
    answering: Option<Answering>,
}

/// What waits for its turn.
pub(super) enum Turn {
    /// A request to be answered.
    Request(Request),
    /// One that is refused already, but answers come in order.
    Refused(Reply),
}

type Answering = Pin<Box<dyn Future<Output = (Control, Answer)> + Send>>;

impl Queue {
    pub(super) fn new(control: Control) -> Self {
        Self { waiting: VecDeque::new(), control: Some(control), answering: None }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits or is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.answering.is_none()
    }

    pub(super) fn push(&mut self, turn: Turn) {
        self.waiting.push_back(turn);
    }

    /// What answers, while it does not.
    pub(super) fn control(&mut self) -> Option<&mut Control> {
        self.control.as_mut()
    }

    /// Takes up what is next, if nothing is being answered: begins to answer a request, or gives
    /// back a refusal.
    pub(super) fn take_up(&mut self) -> Option<Reply> {
        let mut control = self.control.take()?;
        match self.waiting.pop_front() {
            None => {
                self.control = Some(control);
                None
            }
            Some(Turn::Refused(reply)) => {
                self.control = Some(control);
                Some(reply)
            }
            Some(Turn::Request(request)) => {
                self.answering = Some(Box::pin(async move {
                    let answer = control.answer(&request).await;
                    (control, answer)
                }));
                None
            }
        }
    }

    /// The answer under way, when it is there.
    pub(super) async fn answered(&mut self) -> Answer {
        match &mut self.answering {
            Some(answering) => {
                let (control, answer) = answering.await;
                self.answering = None;
                self.control = Some(control);
                answer
            }
            None => pending().await,
        }
    }

    /// Takes back the request under way, and gives what answers, unless that was busy with it.
    pub(super) fn abandon(&mut self) -> Option<Control> {
        self.waiting.clear();
        self.answering = None;
        self.control.take()
    }
}
