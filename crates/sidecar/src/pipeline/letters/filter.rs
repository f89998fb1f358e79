//! Which letters are meant: by place, by text, or all.

use super::{Letter, Letters, letter};
use seawall_core::{Fault, Offset};
use std::collections::BTreeSet;
use std::str::FromStr;

/// The most letters on a page.
pub(crate) const PAGE_LETTERS_MAX: usize = 500;
/// The most letters looked at for one page; the page then ends early and says where to go on.
const LOOKED_AT_MAX: usize = 20_000;

/// A letter's place in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct LetterId {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: Offset,
}

/// Written `partition-offset`.
impl FromStr for LetterId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (partition, offset) = text.split_once('-').ok_or(())?;
        Ok(Self { partition: partition.parse().map_err(|_| ())?, offset: offset.parse().map_err(|_| ())? })
    }
}

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

/// What a page is to hold.
#[derive(Clone, Debug)]
pub struct Search {
    /// At most so many letters, 1 to [`PAGE_LETTERS_MAX`].
    pub limit: usize,
    /// Only those behind this one.
    pub after: Option<LetterId>,
    /// Only those whose key, error or value holds this text, in whatever case.
    pub text: Option<String>,
}

/// Some letters, and where the next page starts.
#[derive(Clone, Debug)]
pub struct Page {
    /// In order of partition and offset.
    pub letters: Vec<Letter>,
    /// `None` on the last page.
    pub next: Option<LetterId>,
}

/// Which letters a redrive or a purge means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These.
    Ids(Vec<LetterId>),
    /// Those that a search for this text finds.
    Text(String),
    /// All that were there at the start.
    All,
}

impl Choice {
    /// How many letters it can mean at most, where that is known.
    pub fn bound(&self) -> Option<u64> {
        match self {
            Self::Ids(ids) => Some(ids.iter().collect::<BTreeSet<_>>().len() as u64),
            Self::Text(_) | Self::All => None,
        }
    }
}

pub(super) fn page(letters: &Letters, search: &Search) -> Result<Page, Fault> {
    let mut page = Page { letters: Vec::new(), next: None };
    let (mut looked_at, mut last) = (0, None);
    let text = search.text.as_deref().map(str::to_lowercase);
    let first = search.after.map_or(LetterId { partition: 0, offset: 0 }, |after| LetterId {
        offset: after.offset.saturating_add(1),
        ..after
    });
    walk(letters, first, &mut |letter: Letter| {
        if page.letters.len() >= search.limit.min(PAGE_LETTERS_MAX) || looked_at >= LOOKED_AT_MAX {
            page.next = last;
            return Ok(false);
        }
        looked_at += 1;
        last = Some(letter.id);
        if text.as_deref().is_none_or(|text| holds(&letter, text)) {
            page.letters.push(letter);
        }
        Ok(true)
    })?;
    Ok(page)
}

/// Calls `take` with each letter that `choice` means, until it has enough.
pub(super) fn each(
    letters: &Letters,
    choice: &Choice,
    mut take: impl FnMut(Letter) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let start = LetterId { partition: 0, offset: 0 };
    match choice {
        Choice::Ids(ids) => {
            let spans = letters.look()?;
            let mut asked = BTreeSet::new();
            for id in ids.iter().filter(|id| asked.insert(**id)) {
                if let Some(letter) = letters.find(&spans, *id)?
                    && !take(letter)?
                {
                    break;
                }
            }
            Ok(())
        }
        Choice::Text(text) => {
            let text = text.to_lowercase();
            walk(letters, start, &mut |letter| if holds(&letter, &text) { take(letter) } else { Ok(true) })
        }
        Choice::All => walk(letters, start, &mut take),
    }
}

/// All letters from `first` on that are not done with, up to the ends of this moment.
fn walk(
    letters: &Letters,
    first: LetterId,
    take: &mut impl FnMut(Letter) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    for span in letters.look()?.into_iter().filter(|span| span.partition >= first.partition) {
        let number = span.partition;
        let watermark = letters.done().watermark(number);
        let asked = if number == first.partition { first.offset } else { 0 };
        let mut next = asked.max(watermark).max(span.start);
        while next < span.end {
            let batch = letters.shelf.fetch(span, next)?;
            if batch.next <= next {
                break;
            }
            next = batch.next;
            for fetched in batch.records.into_iter().filter(|f| f.offset < span.end) {
                let id = LetterId { partition: number, offset: fetched.offset };
                if !letters.is_done(id) && !take(letter(number, fetched))? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Whether key, error or value of `letter` holds `text`, which is in lower case.
fn holds(letter: &Letter, text: &str) -> bool {
    let within = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase().contains(text);
    letter.record.key.as_ref().is_some_and(|key| within(key))
        || letter.story.as_ref().is_some_and(|story| within(story.error.as_bytes()))
        || within(&letter.record.value)
}
