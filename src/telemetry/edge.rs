//! What the edge tells of itself, as metrics.

use crate::fault::FaultKind;
use crate::http::{Check, Observed, Observer};
use crate::instruments::{HttpRequest, Instruments};

/// Feeds the instruments from the edge.
#[derive(Debug)]
pub(super) struct EdgeObserver(pub(super) Instruments);

impl Observer for EdgeObserver {
    fn connection_opened(&self) {
        self.0.connection_opened();
    }

    fn connection_closed(&self) {
        self.0.connection_closed();
    }

    fn connection_refused(&self) {
        self.0.connection_refused();
    }

    fn request_refused(&self, check: Check) {
        self.0.refused(match check {
            Check::Address => FaultKind::AuthDenied,
            Check::HostCount => FaultKind::InvalidRequest,
            Check::Host => FaultKind::HostDenied,
            Check::Origin => FaultKind::OriginDenied,
            Check::Token => FaultKind::AuthFailed,
        });
    }

    fn request_started(&self) {
        self.0.http_started();
    }

    fn request_ended(&self, request: &Observed) {
        let Observed {
            method,
            route,
            status,
            elapsed,
        } = *request;
        self.0.http_ended(&HttpRequest {
            method,
            route,
            status,
            duration: elapsed,
        });
    }

    // Event streams are counted by the relay, which knows whose they are.
}
