//! The bytes of an input file, decompressed, in big pieces.
//!
//! A local file is read with plain blocking reads: plans run on threads of their own, and a read of a
//! megabyte from the page cache costs less than handing it to another thread. An object is streamed;
//! a compressed object is fetched whole first.
use std::{
    fs::File,
    io::{Cursor, Read, Write},
};

use futures::{StreamExt, stream::BoxStream};
use object_store::ObjectStoreExt;

use super::{FileLocation, FileRef, FormatError, Options};

/// Bytes asked for at a time: what is read is still in the second-level cache when it is parsed.
const READ_SIZE: usize = 1 << 18;

/// Compression of text files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Bzip2,
    Zstd,
    Deflate,
}

impl Codec {
    /// By a file's extension, as Hadoop picks codecs.
    pub(crate) fn of_file(url: &str) -> Result<Self, FormatError> {
        let name = url.rsplit('/').next().unwrap_or(url);
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("gz") => Ok(Self::Gzip),
            Some("bz2") => Ok(Self::Bzip2),
            Some("zst") => Ok(Self::Zstd),
            Some("deflate") => Ok(Self::Deflate),
            Some(extension @ ("lz4" | "snappy" | "lzo")) => {
                Err(FormatError::UnsupportedCompression {
                    path: url.to_owned(),
                    extension: format!(".{extension}"),
                })
            }
            _ => Ok(Self::None),
        }
    }

    /// Options `compression` and `codec` of a writer.
    pub(crate) fn from_options(options: &Options) -> Result<Self, FormatError> {
        let Some(name) = options.get("compression").or_else(|| options.get("codec")) else {
            return Ok(Self::None);
        };
        match name.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "bzip2" => Ok(Self::Bzip2),
            "zstd" => Ok(Self::Zstd),
            "deflate" => Ok(Self::Deflate),
            _ => Err(FormatError::UnknownCodec {
                codec: name.to_owned(),
                available: "bzip2, deflate, gzip, none, uncompressed, zstd".to_owned(),
            }),
        }
    }

    /// What a written file's name ends with, after the format's own extension.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Bzip2 => ".bz2",
            Self::Zstd => ".zst",
            Self::Deflate => ".deflate",
        }
    }

    fn reader(self, from: impl Read + Send + 'static) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(from),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(from)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(from)?),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(from)),
        })
    }
}

/// A byte sink that compresses.
pub(crate) enum Compressor {
    Plain(std::io::BufWriter<Box<dyn Write + Send>>),
    Gzip(flate2::write::GzEncoder<Box<dyn Write + Send>>),
    Bzip2(bzip2::write::BzEncoder<Box<dyn Write + Send>>),
    Zstd(zstd::stream::write::Encoder<'static, Box<dyn Write + Send>>),
    Deflate(flate2::write::ZlibEncoder<Box<dyn Write + Send>>),
}

impl Compressor {
    pub(crate) fn new(codec: Codec, out: Box<dyn Write + Send>) -> Result<Self, FormatError> {
        Ok(match codec {
            Codec::None => Self::Plain(std::io::BufWriter::with_capacity(READ_SIZE, out)),
            Codec::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                out,
                flate2::Compression::default(),
            )),
            Codec::Bzip2 => Self::Bzip2(bzip2::write::BzEncoder::new(
                out,
                bzip2::Compression::default(),
            )),
            Codec::Zstd => Self::Zstd(
                zstd::stream::write::Encoder::new(out, 3).map_err(FormatError::io("start zstd"))?,
            ),
            Codec::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(
                out,
                flate2::Compression::default(),
            )),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let out: &mut dyn Write = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out,
            Self::Bzip2(out) => out,
            Self::Zstd(out) => out,
            Self::Deflate(out) => out,
        };
        out.write_all(bytes).map_err(FormatError::io("write"))
    }

    /// Ends the compressed stream and flushes the sink.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let flushed = match self {
            Self::Plain(out) => out
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error),
            Self::Gzip(out) => out.finish(),
            Self::Bzip2(out) => out.finish(),
            Self::Zstd(out) => out.finish(),
            Self::Deflate(out) => out.finish(),
        };
        flushed
            .and_then(|mut out| out.flush())
            .map_err(FormatError::io("finish"))
    }
}

/// A file being read from its start.
pub(crate) struct Chunks {
    file: FileRef,
    source: Source,
}

enum Source {
    Unopened,
    Reader(Box<dyn Read + Send>),
    Stream(BoxStream<'static, object_store::Result<bytes::Bytes>>),
    Ended,
}

impl Chunks {
    pub(crate) fn new(file: FileRef) -> Self {
        Self {
            file,
            source: Source::Unopened,
        }
    }

    /// Name of the file in messages.
    pub(crate) fn url(&self) -> &str {
        &self.file.url
    }

    /// Appends the next piece; `false` at the end of the file.
    pub(crate) async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        if matches!(self.source, Source::Unopened) {
            self.source = open(&self.file).await?;
        }
        let more = match &mut self.source {
            Source::Reader(reader) => {
                let mut limited = reader.take(READ_SIZE as u64);
                limited.read_to_end(out).map_err(FormatError::io("read"))? > 0
            }
            Source::Stream(stream) => match stream.next().await {
                Some(bytes) => {
                    out.extend_from_slice(&bytes?);
                    true
                }
                None => false,
            },
            Source::Unopened | Source::Ended => false,
        };
        if !more {
            self.source = Source::Ended;
        }
        Ok(more)
    }

    /// Everything that is left.
    pub(crate) async fn read_all(&mut self) -> Result<Vec<u8>, FormatError> {
        let mut all = vec![];
        while self.next(&mut all).await? {}
        Ok(all)
    }
}

async fn open(file: &FileRef) -> Result<Source, FormatError> {
    let codec = Codec::of_file(&file.url)?;
    let decoder_failed = FormatError::io("start decompression");
    match &file.location {
        FileLocation::Local(path) => {
            let local = File::open(path).map_err(FormatError::io("open"))?;
            Ok(Source::Reader(codec.reader(local).map_err(decoder_failed)?))
        }
        FileLocation::Object { store, path } => {
            let object = store.get(path).await?;
            if codec == Codec::None {
                return Ok(Source::Stream(object.into_stream()));
            }
            let bytes = object.bytes().await?;
            Ok(Source::Reader(
                codec.reader(Cursor::new(bytes)).map_err(decoder_failed)?,
            ))
        }
    }
}

/// The whole file as it is, for formats with a footer.
pub(crate) async fn read_raw(file: &FileRef) -> Result<bytes::Bytes, FormatError> {
    match &file.location {
        FileLocation::Local(path) => {
            Ok(std::fs::read(path).map_err(FormatError::io("read"))?.into())
        }
        FileLocation::Object { store, path } => Ok(store.get(path).await?.bytes().await?),
    }
}
