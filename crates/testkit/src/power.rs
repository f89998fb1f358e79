//! The power switch of one simulated process: it cuts at a chosen step, wherever that is.
//!
//! A crash that can only happen when a timer fires happens only when everything is quiet, and then it finds
//! nothing. So every seam that a scenario puts around the shipped code counts its steps here, before and
//! after each effect, and the cut comes at the n-th of them: between an effect and the claim's completion,
//! between two writes of one append, after a commit and before its answer.
//!
//! From the cut on the process is dead: its seams answer nothing any more, and what its tasks still do until
//! the runtime is dropped reaches neither the disk nor the service.

use seawall_wal::disk::SimDisk;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Where a process can die.
#[expect(missing_docs, reason = "each is named after what was just about to happen, or just had")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// Whenever the scenario says so.
    Timer,
    BeforeClaim,
    AfterClaim,
    BeforeEffect,
    AfterEffect,
    BeforeComplete,
    AfterComplete,
    AfterPoll,
    BeforeCommit,
    AfterCommit,
    BeforeLetter,
    AfterLetter,
    BeforeSend,
    AfterSend,
    BeforeWrite,
    AfterWrite,
    BeforeSync,
    AfterSync,
    BeforeName,
    AfterName,
}

impl Site {
    /// Those that a process passes by itself.
    pub const PASSED: [Self; 19] = [
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::BeforeEffect,
        Self::AfterEffect,
        Self::BeforeComplete,
        Self::AfterComplete,
        Self::AfterPoll,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::BeforeLetter,
        Self::AfterLetter,
        Self::BeforeSend,
        Self::AfterSend,
        Self::BeforeWrite,
        Self::AfterWrite,
        Self::BeforeSync,
        Self::AfterSync,
        Self::BeforeName,
        Self::AfterName,
    ];
}

/// The step at which the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutAt {
    /// Count the steps of this site alone, or all of them.
    pub site: Option<Site>,
    /// Which one, counted from 0.
    pub step: u64,
}

impl CutAt {
    /// Draws one: half of them among all steps, most of which are writes, half at one kind of site, so that
    /// those that are passed rarely are met too.
    pub fn draw(rng: &mut fastrand::Rng, steps: u64) -> Self {
        if rng.bool() {
            return Self { site: None, step: rng.u64(0..steps) };
        }
        Self { site: rng.choice(Site::PASSED), step: rng.u64(0..6) }
    }
}

/// How it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// `kill -9`: what was written stays, synced or not.
    Kill,
    /// The machine's power: what was not synced is kept, lost or torn.
    Power,
}

/// One process's switch. Clones are one switch.
#[derive(Clone, Debug)]
pub struct Power(Arc<Line>);

/// Where it died, and on which file, if it was at one.
#[derive(Clone, Debug)]
struct Death {
    site: Site,
    path: Option<PathBuf>,
}

#[derive(Debug)]
struct Line {
    steps: AtomicU64,
    cut_at: Option<CutAt>,
    cut: Cut,
    off: AtomicBool,
    died: std::sync::Mutex<Option<Death>>,
    dark: CancellationToken,
    disk: Option<SimDisk>,
}

impl Power {
    /// A switch that cuts at `cut_at`, or never by itself; `disk` is what loses its power too.
    pub fn new(cut_at: Option<CutAt>, cut: Cut, disk: Option<SimDisk>) -> Self {
        Self(Arc::new(Line {
            steps: AtomicU64::new(0),
            cut_at,
            cut,
            off: AtomicBool::new(false),
            died: std::sync::Mutex::new(None),
            dark: CancellationToken::new(),
            disk,
        }))
    }

    /// Passes `site`. Whether the process lives on.
    pub fn step(&self, site: Site) -> bool {
        self.pass(site, None)
    }

    /// As [`Power::step`], at the file or directory `path`.
    pub fn step_on(&self, site: Site, path: &Path) -> bool {
        self.pass(site, Some(path))
    }

    fn pass(&self, site: Site, path: Option<&Path>) -> bool {
        if self.is_off() {
            return false;
        }
        if let Some(cut_at) = self.0.cut_at
            && cut_at.site.is_none_or(|of| of == site)
            && self.0.steps.fetch_add(1, Relaxed) == cut_at.step
        {
            self.die(site, path);
        }
        !self.is_off()
    }

    /// Cuts now.
    pub fn cut(&self, site: Site) {
        self.die(site, None);
    }

    fn die(&self, site: Site, path: Option<&Path>) {
        if self.0.off.swap(true, Relaxed) {
            return;
        }
        *self.died() = Some(Death { site, path: path.map(Path::to_owned) });
        if let Some(disk) = &self.0.disk {
            match self.0.cut {
                Cut::Kill => disk.kill(),
                Cut::Power => disk.crash(),
            }
        }
        self.0.dark.cancel();
    }

    /// Whether the process is dead.
    pub fn is_off(&self) -> bool {
        self.0.off.load(Relaxed)
    }

    /// Where it died, if it did.
    pub fn died_at(&self) -> Option<(Site, Cut)> {
        self.died().as_ref().map(|death| (death.site, self.0.cut))
    }

    /// The file or directory it was at when it died.
    pub fn died_on(&self) -> Option<PathBuf> {
        self.died().as_ref().and_then(|death| death.path.clone())
    }

    fn died(&self) -> MutexGuard<'_, Option<Death>> {
        self.0.died.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the cut.
    pub async fn dark(&self) {
        self.0.dark.cancelled().await;
    }

    /// As [`Power::step`], and never returns once the process is dead.
    pub async fn alive(&self, site: Site) {
        if !self.step(site) {
            std::future::pending::<()>().await;
        }
    }
}
