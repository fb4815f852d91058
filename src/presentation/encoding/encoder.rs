//! Packing a body piece by piece: what goes in is read once, what comes out is what is ready, and memory is bounded by
//! the window of the coding whatever the length of the body.
//!
//! The levels are those at which a core packs tens of megabytes a second: the event loop does it, a piece at a time.

use super::Coding;
use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use zstd::stream::raw::CParameter;

/// Octets that brotli and zstd look back at, as a power of two: 256 KiB, which keeps an encoder at some mebibytes with all
/// its tables (RFC 9659 allows a window of 8 MiB).
const WINDOW_BITS: u32 = 18;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: i32 = 5;
/// What brotli gathers before it writes.
const BROTLI_BUFFER: usize = 4 << 10;

/// A body on its way into a coding.
pub struct Encoder(Packer);

enum Packer {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// Begins a body of so many octets, which is a hint.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(coding: Coding, length: u64) -> io::Result<Encoder> {
        let out = Vec::new();
        Ok(Encoder(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW_BITS))?;
                Packer::Zstd(encoder)
            }
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: WINDOW_BITS as i32,
                    size_hint: usize::try_from(length).unwrap_or(usize::MAX),
                    ..BrotliEncoderParams::default()
                };
                Packer::Brotli(Box::new(CompressorWriter::with_params(out, BROTLI_BUFFER, &params)))
            }
            Coding::Gzip => Packer::Gzip(GzEncoder::new(out, Compression::default())),
        }))
    }

    /// Takes a piece in, and gives what is ready: often nothing.
    ///
    /// # Errors
    /// Those of the coding; none is known.
    pub fn encode(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        let ready = match &mut self.0 {
            Packer::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
            Packer::Brotli(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
            Packer::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(ready).into())
    }

    /// Ends the body, and gives the rest of it.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self.0 {
            Packer::Zstd(encoder) => encoder.finish()?,
            Packer::Brotli(encoder) => encoder.into_inner(),
            Packer::Gzip(encoder) => encoder.finish()?,
        }
        .into())
    }

    /// Packs what is here already.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn whole(coding: Coding, octets: &[u8]) -> io::Result<Bytes> {
        let mut encoder = Encoder::new(coding, octets.len() as u64)?;
        let first = encoder.encode(octets)?;
        let rest = encoder.finish()?;
        Ok(if first.is_empty() { rest } else { [first, rest].concat().into() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    /// What a client makes of it.
    pub(crate) fn decoded(coding: Coding, octets: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        match coding {
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(octets)?.single_frame();
                decoder.window_log_max(23)?;
                decoder.read_to_end(&mut content)?;
                decoder.finish().read_to_end(&mut content)?;
            }
            Coding::Brotli => _ = brotli::Decompressor::new(octets, 4096).read_to_end(&mut content)?,
            Coding::Gzip => _ = flate2::read::GzDecoder::new(octets).read_to_end(&mut content)?,
        }
        Ok(content)
    }

    #[test]
    fn text_becomes_shorter_and_the_whole_is_what_the_pieces_are() {
        let text = "It was a dark and stormy night. ".repeat(1_000);
        for coding in Coding::ALL {
            let packed = Encoder::whole(coding, text.as_bytes()).unwrap();
            assert!(packed.len() < text.len() / 20, "{coding:?}: {}", packed.len());
            assert_eq!(decoded(coding, &packed).unwrap(), text.as_bytes(), "{coding:?}");
            assert_eq!(decoded(coding, &Encoder::whole(coding, b"").unwrap()).unwrap(), b"", "{coding:?}");
            assert_eq!(Encoder::whole(coding, text.as_bytes()).unwrap(), packed, "{coding:?}: the same each time");
        }
    }

    #[test]
    fn what_comes_out_does_not_wait_for_the_end() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, u64::MAX).unwrap();
            let mut random = 1u64;
            let mut held = 0;
            for _ in 0..64 {
                let piece: Vec<u8> = (0..16_384)
                    .map(|_| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (random >> 56) as u8
                    })
                    .collect();
                held += piece.len();
                held -= encoder.encode(&piece).unwrap().len().min(held);
                assert!(held < 1 << 20, "{coding:?} keeps {held}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn what_was_packed_in_any_pieces_is_unpacked_to_what_it_was(
            words in prop::collection::vec("[a-c]{1,9}|[ -~]{0,5}", 0..2_000),
            cuts in prop::collection::vec(1usize..9_000, 1..9),
        ) {
            let text = words.concat();
            for coding in Coding::ALL {
                let (mut encoder, mut packed) = (Encoder::new(coding, text.len() as u64).unwrap(), Vec::new());
                let mut rest = text.as_bytes();
                for cut in cuts.iter().cycle() {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    packed.extend_from_slice(&encoder.encode(piece).unwrap());
                    rest = after;
                    if rest.is_empty() {
                        break;
                    }
                }
                packed.extend_from_slice(&encoder.finish().unwrap());
                prop_assert_eq!(decoded(coding, &packed).unwrap(), text.as_bytes());
            }
        }
    }
}
