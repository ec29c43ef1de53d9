//! What all contenders send: 1080p30 at 4 Mbit/s, a keyframe every two seconds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::workspace::{Workspace, output};

/// Ten seconds of it, made once; lenscast and the floor repeat it. Noise keeps the encoder from saving
/// bits where nothing moves.
pub(crate) fn short(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let picture = "testsrc2=size=1920x1080:rate=30,noise=alls=12:allf=t";
    let encoder = "-t 10 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 4M -minrate 4M \
                   -maxrate 4M -bufsize 2M -g 60 -keyint_min 60 -sc_threshold 0 -bf 0";
    let input = ["-f", "lavfi", "-i", picture];
    made(workspace, "compare-1080p30-4M.mp4", &input, encoder)
}

/// The same again and again, for [`LONG_SECONDS`]: for servers that do not repeat a file.
pub(crate) fn long(workspace: &Workspace, short: &Path) -> anyhow::Result<PathBuf> {
    let short = short.to_str().context("the target directory's name is not UTF-8")?;
    let repeats = (LONG_SECONDS / 10 - 1).to_string();
    let input = ["-stream_loop", &repeats, "-i", short];
    made(workspace, "compare-1080p30-4M-long.mp4", &input, "-c copy")
}

fn made(
    workspace: &Workspace,
    name: &str,
    input: &[&str],
    encoder: &str,
) -> anyhow::Result<PathBuf> {
    let directory = workspace.target.join("tmp");
    let film = directory.join(name);
    if film.exists() {
        return Ok(film);
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = directory.join("compare-unfinished.mp4");
    let mut ffmpeg = workspace.command("ffmpeg");
    ffmpeg.args("-hide_banner -loglevel error -y".split(' ')).args(input);
    output(ffmpeg.args(encoder.split_ascii_whitespace()).arg(&unfinished))?;
    fs::rename(&unfinished, &film).with_context(|| format!("cannot make {}", film.display()))?;
    Ok(film)
}

pub(crate) const LONG_SECONDS: u32 = 180;
/// From one keyframe to the next.
pub(crate) const GOP_SECONDS: u32 = 2;
