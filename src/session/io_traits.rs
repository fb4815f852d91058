//! The ecosystem's traits for what reads and writes octets: `futures_io`'s, tokio's and hyper's, each in the terms of
//! [`Source`] and [`Sink`].
//!
//! They lend a slice, which costs one copy each way; the streams themselves have `Bytes` in and out.

use bytes::Bytes;
use std::io;
use std::task::{Context, Poll};

/// Where octets come from.
pub(crate) trait Source {
    /// The next octets, at most `most`; empty at the end.
    fn poll_octets(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>>;
}

/// Where octets go to.
pub(crate) trait Sink {
    /// Takes as much of `slice`, which is not empty, as there is room for.
    fn poll_slice(&mut self, cx: &mut Context<'_>, slice: &[u8]) -> Poll<io::Result<usize>>;
    /// Ready when what was taken is on its way.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Closes our side behind it.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Implements the reading traits for a [`Source`], whose parameters stand behind its type.
macro_rules! reads {
    ($type:ty $(, $($parameters:tt)+)?) => {
        impl $(<$($parameters)+>)? futures_io::AsyncRead for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let bytes = std::task::ready!($crate::session::io_traits::Source::poll_octets(&mut *self, cx, buf.len()))?;
                let room = buf.get_mut(..bytes.len()).ok_or(std::io::ErrorKind::InvalidData)?;
                room.copy_from_slice(&bytes);
                std::task::Poll::Ready(Ok(bytes.len()))
            }
        }

        impl $(<$($parameters)+>)? tokio::io::AsyncRead for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let most = buf.remaining();
                let bytes = std::task::ready!($crate::session::io_traits::Source::poll_octets(&mut *self, cx, most))?;
                buf.put_slice(&bytes);
                std::task::Poll::Ready(Ok(()))
            }
        }

        impl $(<$($parameters)+>)? hyper::rt::Read for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                mut buf: hyper::rt::ReadBufCursor<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let most = buf.remaining();
                let bytes = std::task::ready!($crate::session::io_traits::Source::poll_octets(&mut *self, cx, most))?;
                buf.put_slice(&bytes);
                std::task::Poll::Ready(Ok(()))
            }
        }
    };
}

/// Implements the writing traits for a [`Sink`], whose parameters stand behind its type.
macro_rules! writes {
    ($type:ty $(, $($parameters:tt)+)?) => {
        impl $(<$($parameters)+>)? futures_io::AsyncWrite for $type {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                if buf.is_empty() {
                    return std::task::Poll::Ready(Ok(0));
                }
                $crate::session::io_traits::Sink::poll_slice(&mut *self, cx, buf)
            }
            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $crate::session::io_traits::Sink::poll_flushed(&mut *self, cx)
            }
            fn poll_close(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $crate::session::io_traits::Sink::poll_closed(&mut *self, cx)
            }
        }

        $crate::session::io_traits::writes!(@as_futures_io tokio::io::AsyncWrite, $type $(, $($parameters)+)?);
        $crate::session::io_traits::writes!(@as_futures_io hyper::rt::Write, $type $(, $($parameters)+)?);
    };
    (@as_futures_io $trait:path, $type:ty $(, $($parameters:tt)+)?) => {
        impl $(<$($parameters)+>)? $trait for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }
            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }
            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }
        }
    };
}

pub(crate) use {reads, writes};
