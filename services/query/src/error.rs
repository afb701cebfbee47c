//! Errors of the HTTP API: a type, which decides the status, and a message.

use axum::http::StatusCode;
use tithon_chunks::ErrorKind;
use tithon_promql::QueryError;

use crate::options::Dialect;

/// `errorType` of an answer, with its HTTP status. Prometheus `web/api/v1/api.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong: 400.
    BadData,
    /// The query failed while it ran: 422.
    Execution,
    /// The caller closed the connection: 499, or 503 in Thanos's dialect.
    Canceled,
    /// The query took too long: 503.
    Timeout,
    /// A store failed, or the querier itself: 500.
    Internal,
}

impl ErrorType {
    /// The value of `errorType` in the answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorType::BadData => "bad_data",
            ErrorType::Execution => "execution",
            ErrorType::Canceled => "canceled",
            ErrorType::Timeout => "timeout",
            ErrorType::Internal => "internal",
        }
    }

    pub(crate) fn status(self, dialect: Dialect) -> StatusCode {
        match self {
            ErrorType::BadData => StatusCode::BAD_REQUEST,
            ErrorType::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorType::Canceled if dialect == Dialect::Prometheus => {
                StatusCode::from_u16(499).expect("499 is a legal status")
            }
            ErrorType::Canceled | ErrorType::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The error of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The type, which decides the HTTP status.
    pub error_type: ErrorType,
    /// The message, in the words of Prometheus or Thanos.
    pub message: String,
}

impl ApiError {
    pub(crate) fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError { error_type: ErrorType::BadData, message: message.into() }
    }

    pub(crate) fn execution(message: impl Into<String>) -> ApiError {
        ApiError { error_type: ErrorType::Execution, message: message.into() }
    }

    /// The error of a call whose caller has gone.
    pub(crate) fn canceled(message: impl Into<String>) -> ApiError {
        ApiError { error_type: ErrorType::Canceled, message: message.into() }
    }

    pub(crate) fn timeout(message: impl Into<String>) -> ApiError {
        ApiError { error_type: ErrorType::Timeout, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError { error_type: ErrorType::Internal, message: message.into() }
    }

    /// The error for an error of the engine.
    pub(crate) fn of_query(error: &QueryError) -> ApiError {
        match error.kind() {
            ErrorKind::Cancelled => ApiError::canceled(error.to_string()),
            _ => ApiError::execution(error.to_string()),
        }
    }

    /// A wrong value of the parameter `name`. Prometheus's message has the name, Thanos's does not.
    pub(crate) fn invalid_parameter(
        dialect: Dialect,
        name: &str,
        message: impl std::fmt::Display,
    ) -> ApiError {
        ApiError::bad_data(match dialect {
            Dialect::Prometheus => format!("invalid parameter \"{name}\": {message}"),
            Dialect::Thanos => message.to_string(),
        })
    }

    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self.error_type {
            ErrorType::BadData => ErrorKind::Invalid,
            ErrorType::Execution => ErrorKind::Invalid,
            ErrorType::Canceled => ErrorKind::Cancelled,
            ErrorType::Timeout => ErrorKind::LimitExceeded,
            ErrorType::Internal => ErrorKind::Internal,
        }
    }
}
