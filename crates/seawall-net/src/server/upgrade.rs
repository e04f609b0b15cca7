//! Handing a connection over to those who go on without HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Connected;
use super::words::Worded;
use crate::admission::Place;
use crate::exchange::Upgraded;
use crate::problem::Problem;

/// What was agreed while a request was answered, to be done once its answer is sent.
pub(super) struct Handover {
    sent: OnUpgrade,
    then: Box<dyn FnOnce(Upgraded) + Send>,
    place: Place,
}

impl Handover {
    pub(super) fn agree(
        request: &mut Request<Incoming>,
        then: Box<dyn FnOnce(Upgraded) + Send>,
        place: Place,
    ) -> Result<Handover, Problem> {
        let bad = |message| Problem::new(StatusCode::BAD_REQUEST, "bad_upgrade", message);
        // The parser offers an upgrade to those who ask for one over HTTP/1.1, and to nobody else.
        if request.extensions().get::<OnUpgrade>().is_none() {
            return Err(bad("this wants HTTP/1.1 and an Upgrade header"));
        }
        // Else its bytes would be taken for the new protocol's.
        if !request.body().is_end_stream() {
            return Err(bad("a request for an upgrade has no body"));
        }
        Ok(Handover { sent: hyper::upgrade::on(request), then, place })
    }

    /// To be called when HTTP has ended on the connection. Does not wait: the answer has been sent or never will be.
    pub(super) async fn finish(self, peer: SocketAddr, connected: Connected) {
        let sent = self.sent.await;
        drop(self.place);
        let parts = match sent.map(hyper::upgrade::Upgraded::downcast::<TokioIo<Worded>>) {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) => unreachable!("the engine serves nothing but its own streams"),
            Err(e) => {
                tracing::debug!(%peer, error = %e, "the client left before it was upgraded");
                return;
            }
        };
        let stream = parts.io.into_inner().into_stream();
        // A copy, as even an empty piece would keep the parser's whole buffer.
        let unread = Bytes::copy_from_slice(&parts.read_buf);
        drop(parts.read_buf);
        (self.then)(Upgraded { stream, unread, peer, connected });
    }
}
