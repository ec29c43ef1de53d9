//! What the card looks like, and how it changes from frame to frame.
//!
//! ```text
//!  ▛▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▜   a frame at the very edge: cropping shows
//!  ▌        TITLE · size · rate    ▐
//!  ▌   ┌──────────────────────┐    ▐   a grid and circles: geometry
//!  ▌   │     colour bars      │    ▐   75 % bars
//!  ▌   │   ramp, staircase    │    ▐   black to white
//!  ▌   │     09:07:57.962     │    ▐ ┐
//!  ▌   │  date    frame no.   │    ▐ ├ drawn anew in each frame, in luma alone
//!  ▌ ───────────▮───────────────── ▐ │ a block at constant speed: judder shows
//!  ▌   ▚▞▚▚▞▚▞ bit strip ▞▚▚▞▞▚    ▐ ┘
//! ```
//!
//! The background is drawn once. A frame is that, copied, and what has changed, drawn over it: the
//! pool's buffers come back in any order, so there is nothing to restore from. A copy of a whole
//! picture is far below a hundredth of what encoding costs.

use std::{sync::OnceLock, time::Duration};

use media::{Frame, FrameRate, I420Layout};

use super::{
    Config, Error,
    canvas::Rect,
    civil,
    plan::Plan,
    readout::{Readout, ink_over_panel},
    strip::{self, Area, Stamp},
};

/// The card's picture at one size, for any frame number and any time.
pub struct Picture {
    layout: I420Layout,
    rate: FrameRate,
    config: Config,
    plan: Plan,
    /// Drawn with the first frame: whoever only looks whether there can be such a card need not
    /// wait for it.
    background: OnceLock<Vec<u8>>,
    clock: Option<Readout>,
    date: Option<Readout>,
    frame: Option<Readout>,
    track: Rect,
    block: usize,
}

impl Picture {
    /// Plans it, and draws the digits.
    ///
    /// # Errors
    ///
    /// When the picture is too small for the strip.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let layout = config.layout;
        let (width, height) = (layout.width(), layout.height());
        let area =
            Area::of(width as usize, height as usize).ok_or(Error::TooSmall { width, height })?;
        let plan = Plan::new(layout, area);
        Ok(Self {
            layout,
            rate: config.rate,
            config: config.clone(),
            background: OnceLock::new(),
            clock: plan.clock(),
            date: plan.date(),
            frame: plan.frame(),
            track: plan.track(),
            block: (plan.unit() * 3 / 4).max(4),
            plan,
        })
    }

    /// Size of the picture.
    pub fn layout(&self) -> I420Layout {
        self.layout
    }

    /// Draws frame number `stamp.frame` as taken at `stamp.wall`. Equal stamps give equal pictures,
    /// whatever the frame held before. Only the first one allocates.
    ///
    /// # Errors
    ///
    /// When the frame is of another size.
    pub fn draw(&self, stamp: Stamp, frame: &mut Frame) -> Result<(), Error> {
        if frame.layout() != self.layout {
            let (width, height) = (frame.layout().width(), frame.layout().height());
            return Err(Error::OtherSize { width, height });
        }
        let background = self.background.get_or_init(|| self.plan.background(&self.config));
        frame.bytes_mut().copy_from_slice(background);
        let stride = self.layout.width() as usize;
        let [luma, ..] = frame.planes_mut();
        if let Some(clock) = &self.clock {
            clock.draw(luma, stride, &civil::time_of_day(stamp.wall));
        }
        if let Some(date) = &self.date {
            date.draw(luma, stride, &civil::date(stamp.wall));
        }
        if let Some(frame) = &self.frame {
            let mut number = [0; FRAME_DIGITS];
            civil::write(&mut number, u64::from(stamp.frame));
            frame.draw(luma, stride, &number);
        }
        self.draw_block(luma, stride, self.rate.offset_of(u64::from(stamp.frame)));
        let height = self.layout.height() as usize;
        strip::write(luma, stride, stride, height, stamp)
            .map_err(|_| Error::TooSmall { width: self.layout.width(), height: height as u32 })
    }

    /// The block runs to and fro along its track at constant speed. Its edges fall between pixels,
    /// or it would itself judder.
    fn draw_block(&self, luma: &mut [u8], stride: usize, elapsed: Duration) {
        let way = (self.track.width - self.block) as u128 * SUBPIXELS;
        let round = 2 * CROSSING.as_nanos();
        let at = way * 2 * (elapsed.as_nanos() % round) / round;
        let at = if at > way { 2 * way - at } else { at };
        let (pixel, fraction) = ((at / SUBPIXELS) as usize, (at % SUBPIXELS) as u16);
        let full = ink_over_panel(SUBPIXELS as u16);
        for row in self.track.y..self.track.y + self.track.height {
            let line = &mut luma[row * stride + self.track.x..][..self.track.width];
            line[pixel..pixel + self.block].fill(full);
            line[pixel] = ink_over_panel(SUBPIXELS as u16 - fraction);
            if let Some(last) = line.get_mut(pixel + self.block) {
                *last = ink_over_panel(fraction);
            }
        }
    }
}

/// How long the block takes from one end of its track to the other.
const CROSSING: Duration = Duration::from_secs(4);
/// Parts of a pixel that the block's place is known to.
const SUBPIXELS: u128 = 255;
/// Digits shown of the frame number: 100 million frames, five weeks at 30 a second.
const FRAME_DIGITS: usize = 8;
