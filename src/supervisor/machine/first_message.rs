//! The first message of a life, chosen by what became of the lives before it.

use crate::protocol::Era;

/// The message by which the gateway opens its handshake with a new process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) enum FirstMessage {
    /// `server/discover`, the era probe; `initialize` follows where it has no proper answer.
    #[default]
    Discover,
    /// `initialize`. Strict legacy servers take nothing else first: they end, close their stdout, or pin
    /// an error to the connection.
    Initialize,
}

/// The first message that suits a server, as far as its lives have shown it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EraProbe {
    first: FirstMessage,
    /// The first message of the present life was sent.
    sent: bool,
    /// The last life that was probed did not become ready.
    suspected: bool,
    /// A server that did not survive the probe became ready without it: it is never probed again.
    fatal: bool,
}

impl EraProbe {
    /// The first message of a life that begins now.
    pub(super) fn first(self) -> FirstMessage {
        self.first
    }

    /// A life begins.
    pub(super) fn begin(&mut self) {
        self.sent = false;
    }

    /// The process of this life runs, and is sent the first message.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    /// The first message was not read.
    pub(super) fn unsent(&mut self) {
        self.sent = false;
    }

    /// The handshake is done, in this era.
    pub(super) fn settle(&mut self, era: Era) {
        self.fatal |= self.suspected && era == Era::Legacy;
        self.suspected = false;
        self.first = match era {
            Era::Legacy => FirstMessage::Initialize,
            Era::Modern => FirstMessage::Discover,
        };
    }

    /// The life failed before it was ready. Gives whether the probe may be the reason.
    ///
    /// The next life begins with the other message, so that a server whose start failed for a reason of
    /// its own is not held to a wrong guess.
    pub(super) fn fail(&mut self) -> bool {
        if !std::mem::take(&mut self.sent) {
            return false;
        }
        match self.first {
            FirstMessage::Discover => {
                self.suspected = true;
                self.first = FirstMessage::Initialize;
                true
            }
            FirstMessage::Initialize => {
                if !self.fatal {
                    self.suspected = false;
                    self.first = FirstMessage::Discover;
                }
                false
            }
        }
    }
}
