//! Calls that meet the end of their connection.

use std::error::Error;
use std::future::Future;

use tonic::Status;

/// Times that a call is sent before its failure counts.
const TIMES: usize = 3;

/// Makes a call; sends it again, twice at most, when its connection ended before an answer began. Servers end connections
/// in their normal course (`--grpc-server-max-connection-age`), and all calls of a connection when one client of it breaks a rule
/// of HTTP/2. Only for calls that change nothing, as the server may have begun with a call that is sent again.
///
/// Source: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries>.
pub async fn resend<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, Status> {
    for _ in 1..TIMES {
        match call().await {
            Err(status) if met_the_end(&status) => {}
            answer => return answer,
        }
    }
    call().await
}

/// Whether a call failed because its connection ended, or because the server took no more calls on it. A connection that was
/// never made is not among these.
fn met_the_end(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_go_away() || error.is_io() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            let is_io = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
            if is_io || error.is_canceled() || error.is_closed() {
                return true;
            }
        }
        cause = error.source();
    }
    false
}
