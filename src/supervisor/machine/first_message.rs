//! The first message of a life, chosen by what is known of the server and by what became of the lives before.

use super::{Action, Machine, State};
use crate::protocol::Era;
use crate::supervisor::eras::{EraChoice, EraFacts};

/// The message by which the gateway opens its handshake with a new process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) enum FirstMessage {
    /// `server/discover`, the era probe; `initialize` follows where it has no proper answer.
    Discover,
    /// `initialize`. Strict legacy servers take nothing else first: they end, close their stdout, or pin
    /// an error to the connection.
    #[default]
    Initialize,
}

impl FirstMessage {
    fn of(era: Era) -> Self {
        match era {
            Era::Legacy => Self::Initialize,
            Era::Modern => Self::Discover,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Discover => Self::Initialize,
            Self::Initialize => Self::Discover,
        }
    }
}

/// What the lives of a server have shown of its eras.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other, of different ages"
)]
pub(super) struct EraProbe {
    choice: EraChoice,
    /// The era of the last handshake.
    spoken: Option<Era>,
    /// The other message has its turn: the last start failed with the preferred one.
    turned: bool,
    /// The first message of the present life, and whether it was sent.
    first: FirstMessage,
    sent: bool,
    /// The last life that was probed did not become ready.
    suspected: bool,
    /// A server that did not survive the probe became ready without it: it is never probed again.
    fatal: bool,
}

impl EraProbe {
    pub(super) fn new(choice: EraChoice) -> Self {
        Self {
            choice,
            ..Self::default()
        }
    }

    /// Chooses the first message of a life that begins now, for a client that speaks in the era that is wished for.
    pub(super) fn choose(&mut self, wish: Era, facts: EraFacts) -> FirstMessage {
        self.first = match self.choice {
            EraChoice::Only(era) => FirstMessage::of(era),
            EraChoice::Auto if self.fatal || !facts.may_know(Era::Modern) => {
                FirstMessage::Initialize
            }
            EraChoice::Auto if !facts.may_know(Era::Legacy) => FirstMessage::Discover,
            EraChoice::Auto => {
                let preferred = FirstMessage::of(self.spoken.unwrap_or(wish));
                if self.turned {
                    preferred.other()
                } else {
                    preferred
                }
            }
        };
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

    /// The present life was sent `initialize` as its first message. What was sent after a probe, the probe may have spoilt.
    pub(super) fn has_sent_initialize(self) -> bool {
        self.sent && self.first == FirstMessage::Initialize
    }

    /// The handshake is done, in this era. Gives the first message of this life, and whether the server is
    /// known by now not to survive the probe.
    pub(super) fn settle(&mut self, era: Era) -> (FirstMessage, bool) {
        self.fatal |= self.suspected && era == Era::Legacy;
        self.suspected = false;
        self.turned = false;
        self.spoken = Some(era);
        (self.first, self.fatal)
    }

    /// The life failed before it was ready. Gives whether the probe may be the reason.
    ///
    /// The next life begins with the other message, so that a server whose start failed for a reason of
    /// its own is not held to a wrong guess.
    pub(super) fn fail(&mut self) -> bool {
        if !std::mem::take(&mut self.sent) || self.choice != EraChoice::Auto {
            return false;
        }
        self.turned = !self.turned;
        self.suspected = self.first == FirstMessage::Discover;
        self.suspected
    }
}

impl Machine {
    /// Chooses the message that the life that begins now is opened with, where a process that was never ready is
    /// started for a client of the era that is wished for.
    pub(in crate::supervisor) fn first_message(
        &mut self,
        wish: Era,
        facts: EraFacts,
    ) -> FirstMessage {
        self.era_probe.choose(wish, facts)
    }

    /// Takes the era of a handshake that is done; told before `Ready`. Gives the first message of this life, and
    /// whether the server is known by now not to survive the era probe.
    pub(in crate::supervisor) fn settle_era(&mut self, era: Era) -> (FirstMessage, bool) {
        self.era_probe.settle(era)
    }

    // Starting => Starting
    pub(super) fn running(&mut self) -> Vec<Action> {
        if let State::Starting { .. } = self.state {
            self.era_probe.sent();
        }
        Vec::new()
    }

    // A message that was not read has ended and silenced nobody.
    pub(super) fn unread(&mut self) -> Vec<Action> {
        self.era_probe.unsent();
        self.bare_start.failed();
        Vec::new()
    }
}
