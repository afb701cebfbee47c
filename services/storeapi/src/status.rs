//! gRPC statuses of errors.

use std::error::Error;

use tithon_proto::ConvertError;
use tithon_runtime::to_status;
use tonic::Status;

use crate::StoreApiError;

pub(crate) fn status(error: &StoreApiError) -> Status {
    to_status(error.kind(), error.to_string())
}

pub(crate) fn convert_status(error: &ConvertError) -> Status {
    to_status(error.kind(), error.to_string())
}

/// A status as Go's gRPC prints it, followed by the reason why there is no connection, if there is one.
pub(crate) fn go_status(status: &Status) -> String {
    let message = format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
    let mut reason: Option<&dyn Error> = status.source();
    while let Some(deeper) = reason.and_then(|error| error.source()) {
        reason = Some(deeper);
    }
    let reason = reason.map(ToString::to_string);
    match reason.filter(|reason| !message.ends_with(reason)) {
        Some(reason) => format!("{message}: {reason}"),
        None => message,
    }
}
