//! When to renew what: pure, over a time that is passed in.
//!
//! All claims of one keeper share one lease, so what is scheduled first is due first and two queues (one for
//! the regular renewals, one for those tried again) replace an ordered map. A claim that ends before its turn,
//! as most do, is removed from the map only; its queue item is skipped when its time comes, or swept out when
//! such items outnumber the live ones.

use hashbrown::HashMap;
use seawall_core::{Fence, Nanos, Token};
use std::collections::VecDeque;
use std::time::Duration;

/// Queue items of ended claims that are tolerated besides as many as there are live ones.
const STALE_SLACK: usize = 1024;

/// The times of one lease. All are counted from when the claim or renewal was *asked for*, not answered: the
/// store started counting somewhere in between, so this side is never the more generous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// The lease itself.
    pub lease: Duration,
    /// When it is renewed: a third.
    pub renew_after: Duration,
    /// When a renewal that failed is tried again: a twelfth.
    pub retry_after: Duration,
    /// When, unrenewed, it is called lost: five sixths, so that a sixth is left to stop in.
    pub lost_after: Duration,
}

impl LeaseTimes {
    /// The times of `lease`.
    pub fn of(lease: Duration) -> Self {
        Self { lease, renew_after: lease / 3, retry_after: lease / 12, lost_after: lease / 6 * 5 }
    }
}

/// Names a claim in a [`Renewals`]. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveId(u64);

/// A claim whose handler runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live<P> {
    /// Its name here.
    pub id: LiveId,
    /// The effect being worked on.
    pub token: Token,
    /// The grant.
    pub fence: Fence,
    /// When it is called lost unless renewed before.
    pub lost_at: Nanos,
    /// What the keeper knows its handler by.
    pub handle: P,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub struct Due<P> {
    /// Renew these.
    pub renew: Vec<Live<P>>,
    /// These are no longer counted upon: cancel their handlers.
    pub lost: Vec<Live<P>>,
}

/// The live claims of one owner.
#[derive(Debug)]
pub struct Renewals<P> {
    times: LeaseTimes,
    live: HashMap<LiveId, Live<P>>,
    regular: VecDeque<(Nanos, LiveId)>,
    again: VecDeque<(Nanos, LiveId)>,
    next_id: u64,
}

impl<P: Clone> Renewals<P> {
    /// None yet, all to be under `lease`.
    pub fn new(lease: Duration) -> Self {
        Self {
            times: LeaseTimes::of(lease),
            live: HashMap::new(),
            regular: VecDeque::new(),
            again: VecDeque::new(),
            next_id: 0,
        }
    }

    /// The times in use.
    pub fn times(&self) -> LeaseTimes {
        self.times
    }

    /// How many claims are live.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Adds a claim that was asked for at `asked` (before the store was called).
    pub fn insert(&mut self, token: Token, fence: Fence, asked: Nanos, handle: P) -> LiveId {
        let id = LiveId(self.next_id);
        self.next_id += 1;
        let lost_at = asked.plus(self.times.lost_after);
        self.live.insert(id, Live { id, token, fence, lost_at, handle });
        self.regular.push_back((asked.plus(self.times.renew_after), id));
        id
    }

    /// The claim has ended, well or not. What was lost or removed before is no error.
    pub fn remove(&mut self, id: LiveId) -> Option<Live<P>> {
        let gone = self.live.remove(&id);
        if self.regular.len() > 2 * self.live.len() + STALE_SLACK {
            let live = &self.live;
            self.regular.retain(|(_, id)| live.contains_key(id));
        }
        gone
    }

    /// Whether the claim is still counted upon.
    pub fn is_live(&self, id: LiveId) -> bool {
        self.live.contains_key(&id)
    }

    /// When something may be due; earlier than needed where the claim has ended meanwhile.
    pub fn next(&self) -> Option<Nanos> {
        let fronts = [self.regular.front(), self.again.front()];
        fronts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Takes what is due at `now`. The renewals returned are scheduled anew only by [`Renewals::renewed`] or
    /// [`Renewals::failed`], so each must be followed by one of them or by [`Renewals::remove`].
    pub fn due(&mut self, now: Nanos) -> Due<P> {
        let mut due = Due { renew: Vec::new(), lost: Vec::new() };
        while let Some(id) = pop_due(&mut self.again, now).or_else(|| pop_due(&mut self.regular, now)) {
            match self.live.get(&id) {
                Some(live) if live.lost_at <= now => due.lost.extend(self.live.remove(&id)),
                Some(live) => due.renew.push(live.clone()),
                None => {}
            }
        }
        due
    }

    /// A renewal asked for at `asked` was granted.
    pub fn renewed(&mut self, id: LiveId, asked: Nanos) {
        if let Some(live) = self.live.get_mut(&id) {
            live.lost_at = asked.plus(self.times.lost_after);
            self.regular.push_back((asked.plus(self.times.renew_after), id));
        }
    }

    /// A renewal got no answer, known at `now`: it is tried again until the claim counts as lost.
    pub fn failed(&mut self, id: LiveId, now: Nanos) {
        if let Some(live) = self.live.get(&id) {
            self.again.push_back((now.plus(self.times.retry_after).min(live.lost_at), id));
        }
    }
}

fn pop_due(queue: &mut VecDeque<(Nanos, LiveId)>, now: Nanos) -> Option<LiveId> {
    match queue.front() {
        Some((at, _)) if *at <= now => queue.pop_front().map(|(_, id)| id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    fn token(name: &'static str) -> Token {
        Token::new(name).unwrap()
    }

    fn twelve() -> Renewals<()> {
        Renewals::new(Duration::from_secs(12))
    }

    #[test]
    fn renews_at_a_third() {
        let mut renewals = twelve();
        let id = renewals.insert(token("t"), Fence(1), at(0), ());
        assert_eq!(renewals.next(), Some(at(4)));
        assert!(renewals.due(at(3)).renew.is_empty());
        assert_eq!(renewals.due(at(4)).renew.len(), 1);
        renewals.renewed(id, at(4));
        assert_eq!(renewals.next(), Some(at(8)));
    }

    #[test]
    fn tries_again_until_five_sixths_then_calls_it_lost() {
        let mut renewals = twelve();
        let id = renewals.insert(token("t"), Fence(1), at(0), ());
        let mut asked = 0;
        for second in 4..10 {
            let due = renewals.due(at(second));
            asked += due.renew.len();
            assert!(due.lost.is_empty(), "lost at {second}");
            renewals.failed(id, at(second));
        }
        assert_eq!(asked, 6);
        let due = renewals.due(at(10));
        assert_eq!((due.renew.len(), due.lost.len()), (0, 1));
        assert!(renewals.is_empty());
    }

    #[test]
    fn an_ended_claim_is_not_renewed() {
        let mut renewals = twelve();
        let first = renewals.insert(token("a"), Fence(1), at(0), ());
        let second = renewals.insert(token("b"), Fence(2), at(1), ());
        renewals.remove(first);
        let due = renewals.due(at(5));
        assert_eq!(due.renew.iter().map(|live| live.id).collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn items_of_ended_claims_do_not_pile_up() {
        let mut renewals = twelve();
        for _ in 0..100_000 {
            let id = renewals.insert(token("t"), Fence(1), at(0), ());
            renewals.remove(id);
        }
        assert!(renewals.regular.len() <= STALE_SLACK + 1, "{}", renewals.regular.len());
    }
}
