//! Why content is refused, in words that a person can act on, and the command that mends it.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use media::{FrameRate, h264::ParameterSetsError};

use crate::Error;

/// What is wrong with the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is empty")]
    Empty,
    #[error(
        "it is no regular file; a pipe can be given as standard input \
         (`--source stdin:h264 < PIPE`)"
    )]
    NotRegular,
    #[error("it is {0}, neither an H.264 byte stream nor MP4")]
    Container(&'static str),
    #[error("it is neither an H.264 byte stream (which begins with a start code) nor MP4")]
    Unknown,

    #[error("there is no start code in the first MiB: this is no H.264 byte stream")]
    NoStartCode,
    #[error("a picture is larger than 16 MiB: the stream is broken")]
    UnitTooLarge,
    #[error("there is no picture in it")]
    NoPictures,
    #[error("it does not begin with an IDR picture, so that a viewer could not decode it")]
    NoIdr,
    #[error("no IDR picture with parameter sets came, so that nothing of it could be decoded")]
    NeverBegan,
    #[error("there is no sequence and picture parameter set before the first picture")]
    NoParameterSets,
    #[error(transparent)]
    ParameterSets(#[from] ParameterSetsError),
    #[error(
        "its pictures may be shown in another order than they come in (B-frames; {profile} \
         profile), and a byte stream does not say when: such content needs MP4, or an encoder \
         without B-frames"
    )]
    Reordered { profile: &'static str },
    #[error("it may be interlaced, and a byte stream does not say which fields belong together")]
    Interlaced,

    #[error("its index (moov) is missing: the recording was cut off before it was finished")]
    NoIndex,
    #[error("its index (moov) has {0} bytes, more than the 64 MiB that are read into memory")]
    IndexTooLarge(u64),
    #[error("its index (moov) is compressed")]
    CompressedIndex,
    #[error("it is fragmented MP4")]
    Fragmented,
    #[error("it has no video track")]
    NoVideo,
    #[error("its video is {0:?}, not H.264")]
    Codec(String),
    #[error("its video is encrypted")]
    Encrypted,
    #[error("its pictures lie in another file that it refers to")]
    Elsewhere,
    #[error("it changes its parameter sets midway")]
    SeveralEntries,
    #[error("it has NAL lengths of {0} bytes, and only 1, 2 and 4 are allowed")]
    LengthSize(usize),
    #[error("its index is damaged: {0}")]
    Index(String),
    #[error("its edit list cuts it into pieces, repeats or slows them")]
    EditList,
    #[error("it has {0} pictures, more than the 16 million that are indexed")]
    TooManySamples(u32),
    #[error("picture {number} lasts more than {LONGEST_SECONDS} seconds")]
    TooLong { number: u32 },
    #[error("its {count} pictures last {milliseconds} ms together")]
    TooFast { count: u32, milliseconds: u64 },
    #[error("picture {number} has {size} bytes, more than 16 MiB")]
    SampleTooLarge { number: u32, size: u32 },
    #[error("picture {number} lies beyond the end of the file, which has been cut off")]
    BeyondEnd { number: u32 },
    #[error("picture {number} is damaged: its NAL lengths do not add up")]
    Damaged { number: u32 },
}

impl Refusal {
    /// The error that the user of this crate sees. `rate` goes into the command for byte streams.
    pub(crate) fn of_file(self, path: &Path, rate: Option<FrameRate>) -> Error {
        let remedy = self.remedy().map(|remedy| remedy.command(path, rate));
        Error::Unusable { path: path.to_owned(), reason: self.to_string().into(), remedy }
    }

    /// The error that the user of this crate sees when the content came through a pipe.
    pub(crate) fn of_pipe(self) -> Error {
        let remedy = match self {
            Self::Reordered { .. } | Self::Interlaced | Self::NeverBegan => {
                Some(PIPE_COMMAND.to_owned())
            }
            _ => None,
        };
        Error::Unusable { path: PathBuf::from("-"), reason: self.to_string().into(), remedy }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Empty
            | Self::NotRegular
            | Self::NoStartCode
            | Self::UnitTooLarge
            | Self::NoPictures
            | Self::NeverBegan
            | Self::NoParameterSets
            | Self::ParameterSets(_)
            | Self::NoIndex
            | Self::NoVideo
            | Self::Encrypted
            | Self::Elsewhere => None,
            Self::Reordered { .. } | Self::Interlaced => Some(Remedy::TranscodeStream),
            Self::Container(_)
            | Self::IndexTooLarge(_)
            | Self::CompressedIndex
            | Self::Fragmented
            | Self::LengthSize(_)
            | Self::Index(_)
            | Self::TooManySamples(_)
            | Self::BeyondEnd { .. } => Some(Remedy::Remux),
            Self::Unknown
            | Self::NoIdr
            | Self::Codec(_)
            | Self::SeveralEntries
            | Self::EditList
            | Self::TooLong { .. }
            | Self::TooFast { .. }
            | Self::SampleTooLarge { .. }
            | Self::Damaged { .. } => Some(Remedy::Transcode),
        }
    }
}

#[derive(Clone, Copy)]
enum Remedy {
    /// The pictures are good, what is around them is not.
    Remux,
    /// The pictures must be encoded anew.
    Transcode,
    /// The same from a byte stream. Copying one with B-frames into MP4 does not mend it: ffmpeg
    /// then writes the order of decoding as the order of presentation.
    TranscodeStream,
}

impl Remedy {
    fn command(self, path: &Path, rate: Option<FrameRate>) -> String {
        let mut output = path.file_stem().unwrap_or_else(|| OsStr::new("video")).to_owned();
        output.push("-streamable.mp4");
        let output = path.with_file_name(output);
        let (before, codec) = match self {
            Self::Remux => (String::new(), COPY),
            Self::Transcode => (String::new(), ENCODE),
            Self::TranscodeStream => {
                let rate = rate.map(|rate| format!("-framerate {rate} ")).unwrap_or_default();
                (format!("-f h264 {rate}"), ENCODE)
            }
        };
        format!("ffmpeg {before}-i {} -an {codec} {}", argument(path), argument(&output))
    }
}

/// `path` as an argument of ffmpeg in a POSIX shell: ffmpeg takes what stands before a colon for a
/// protocol, and a leading dash for an option.
fn argument(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let mut argument = OsString::new();
    if bytes.starts_with(b"-") || bytes.contains(&b':') {
        argument.push("file:");
    }
    argument.push(path);
    shell_quoted(argument.as_bytes())
}

fn shell_quoted(argument: &[u8]) -> String {
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"/._-:+,=@%".contains(&byte);
    match std::str::from_utf8(argument) {
        Ok(text) if !text.is_empty() && argument.iter().all(plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        // Neither text nor printable: $'…' is of Bash, Zsh, Ksh and POSIX 2024.
        _ => {
            let escape = |&byte: &u8| match byte {
                byte if plain(&byte) || byte == b' ' => char::from(byte).to_string(),
                byte => format!("\\{byte:03o}"),
            };
            format!("$'{}'", argument.iter().map(escape).collect::<String>())
        }
    }
}

const COPY: &str = "-c:v copy -movflags +faststart";
/// An IDR every 50 pictures, so that viewers can join soon; no B-frames, which cost latency.
const ENCODE: &str = "-c:v libx264 -pix_fmt yuv420p -g 50 -bf 0 -movflags +faststart";
const PIPE_COMMAND: &str = "ffmpeg -i INPUT -an -c:v libx264 -pix_fmt yuv420p -g 50 -bf 0 \
                            -f h264 - | lenscast serve --source stdin:h264";

/// The longest a picture may last, in seconds: longer ones are damage (a negative duration reads
/// as 13 hours and more).
pub(crate) const LONGEST_SECONDS: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let command = |path: &OsStr, remedy: Remedy| {
            remedy.command(Path::new(path), FrameRate::new(30000, 1001))
        };
        for (path, expected) in [
            ("/a/b.mp4", "ffmpeg -i /a/b.mp4 -an COPY /a/b-streamable.mp4"),
            ("it's.mov", r"ffmpeg -i 'it'\''s.mov' -an COPY 'it'\''s-streamable.mp4'"),
            ("a b;$(c).mp4", "ffmpeg -i 'a b;$(c).mp4' -an COPY 'a b;$(c)-streamable.mp4'"),
            ("-x.mp4", "ffmpeg -i file:-x.mp4 -an COPY file:-x-streamable.mp4"),
            ("10:30.mp4", "ffmpeg -i file:10:30.mp4 -an COPY file:10:30-streamable.mp4"),
            ("a\nb", r"ffmpeg -i $'a\012b' -an COPY $'a\012b-streamable.mp4'"),
            ("Übung", "ffmpeg -i 'Übung' -an COPY 'Übung-streamable.mp4'"),
        ] {
            let expected = expected.replace("COPY", COPY);
            assert_eq!(command(OsStr::new(path), Remedy::Remux), expected);
        }
        let latin1 = command(OsStr::from_bytes(b"\xdcbung"), Remedy::Transcode);
        let expected = format!(r"ffmpeg -i $'\334bung' -an {ENCODE} $'\334bung-streamable.mp4'");
        assert_eq!(latin1, expected);
        assert_eq!(
            command(OsStr::new("x.h264"), Remedy::TranscodeStream),
            format!("ffmpeg -f h264 -framerate 30000/1001 -i x.h264 -an {ENCODE} x-streamable.mp4")
        );
    }
}
