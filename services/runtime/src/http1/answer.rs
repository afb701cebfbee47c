//! An answer whose body is read piece by piece.

use bytes::{Buf, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};

use super::client::Home;
use super::connection::Connection;
use super::{BodyReader, Head, HttpError};

/// An answer. Dropping it before its end closes the connection.
#[derive(Debug)]
pub struct HttpAnswer {
    /// URL that answered.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// The content type; empty if there is none.
    pub content_type: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// From a connection of our own.
    Own(OwnBody),
    /// From the general client.
    Client(Box<Response>),
}

#[derive(Debug)]
struct OwnBody {
    /// `None` behind the end.
    connection: Option<Connection>,
    reader: BodyReader,
    /// Where the connection goes when the body has been read; `None` if it is to be closed.
    home: Option<Home>,
}

impl HttpAnswer {
    /// The answer that begins with `head` on a connection.
    pub(super) fn own(url: Url, head: Head, connection: Connection, home: Home) -> HttpAnswer {
        let home = head.keeps_alive.then_some(home);
        let body =
            Body::Own(OwnBody { connection: Some(connection), reader: BodyReader::new(head.framing), home });
        HttpAnswer { url, status: head.status, content_type: head.content_type, body }
    }

    /// Appends some bytes of the body to `out`, waiting for at least one; `false` at the end. Nothing is lost when this is cancelled.
    pub async fn read(&mut self, out: &mut BytesMut) -> Result<bool, HttpError> {
        match &mut self.body {
            Body::Own(body) => body.read(out).await,
            Body::Client(answer) => {
                let part = answer.chunk().await?;
                out.extend_from_slice(part.as_deref().unwrap_or_default());
                Ok(part.is_some())
            }
        }
    }
}

impl From<Response> for HttpAnswer {
    fn from(answer: Response) -> HttpAnswer {
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        HttpAnswer {
            url: answer.url().clone(),
            status: answer.status().as_u16(),
            content_type: kind.unwrap_or_default().to_owned(),
            body: Body::Client(Box::new(answer)),
        }
    }
}

impl OwnBody {
    async fn read(&mut self, out: &mut BytesMut) -> Result<bool, HttpError> {
        let before = out.len();
        while let Some(connection) = &mut self.connection {
            let read = self.reader.read(&connection.input, out)?;
            connection.input.advance(read);
            if self.reader.is_done() {
                if let (Some(connection), Some(home)) = (self.connection.take(), self.home.take()) {
                    home.keep(connection);
                }
            } else if out.len() == before && !connection.receive().await? {
                self.connection = None;
                if !self.reader.may_end() {
                    return Err(HttpError::CutShort);
                }
            }
            if out.len() > before {
                break;
            }
        }
        Ok(out.len() > before)
    }
}
