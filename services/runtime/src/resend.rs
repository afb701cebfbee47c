//! Repeats calls whose connection ended.

use std::error::Error;
use std::future::Future;

use tonic::Status;

/// Number of attempts.
const TIMES: usize = 3;

/// Makes a call, and repeats it up to two times if its connection ended before an answer began. Servers close
/// connections in normal operation (`--grpc-server-max-connection-age`), and close them with all their calls when one
/// call breaks a rule of HTTP/2. Only for calls that change nothing, since the server may have begun with a call that
/// is repeated.
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

/// Whether a call failed because its connection ended or accepted no more calls. Failures to connect do not count.
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
