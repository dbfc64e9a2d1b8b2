//! One HTTP/1.1 connection, driven by whoever waits for its answer: no task is spawned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The largest answer that is read, in bytes.
pub(crate) const RESPONSE_LIMIT: usize = 1024 * 1024;

/// A connection, after the handshake of hyper's state machine (which sends nothing).
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<UnixStream>, Full<Bytes>>>>,
    /// Whether the driver has ended; it must not be polled again then.
    ended: bool,
    /// The greeting's nonce, once greeted.
    pub(crate) nonce: Option<http::HeaderValue>,
}

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The connection was closed before anything was sent.
    NotSent,
    /// It broke after that.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than [`RESPONSE_LIMIT`].
    TooLarge,
}

impl Connection {
    pub(crate) async fn over(stream: UnixStream) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::Builder::new()
            .max_headers(64)
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, driver: Box::pin(driver), ended: false, nonce: None })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let (head, body) = self.begin(request).await?.into_parts();
        let mut body = std::pin::pin!(Limited::new(body, RESPONSE_LIMIT).collect());
        // Once the driver has ended, the answer has all that there will ever be.
        let body = std::future::poll_fn(|context| {
            self.drive(context);
            body.as_mut().poll(context)
        });
        let body = body.await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ExchangeError::TooLarge
            } else {
                ExchangeError::Broken(error)
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Sends one request and reads the head of the answer.
    pub(crate) async fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ExchangeError> {
        // One look at the socket, so that a connection which the daemon closed meanwhile is known to be closed.
        std::future::poll_fn(|context| {
            self.drive(context);
            Poll::Ready(())
        })
        .await;
        if self.ended || self.sender.is_closed() {
            return Err(ExchangeError::NotSent);
        }
        let mut sent = std::pin::pin!(self.sender.try_send_request(request));
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let sent = std::future::poll_fn(|context| {
            *ended = *ended || driver.as_mut().poll(context).is_ready();
            sent.as_mut().poll(context)
        });
        sent.await.map_err(|mut error| match error.take_message() {
            Some(_) => ExchangeError::NotSent,
            None => ExchangeError::Broken(Box::new(error.into_error())),
        })
    }

    /// The next part of an answer that was begun; nothing at its end.
    pub(crate) async fn part(&mut self, body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let mut frame = std::pin::pin!(body.frame());
            let frame = std::future::poll_fn(|context| {
                self.drive(context);
                frame.as_mut().poll(context)
            });
            // What is no data is a trailer, which nobody sends.
            match frame.await?.map(hyper::body::Frame::into_data) {
                Ok(Ok(part)) => return Some(Ok(part)),
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        self.ended = self.ended || self.driver.as_mut().poll(context).is_ready();
    }
}
