//! The cases. Each is a sentence about the protocol.

use super::{ManualClock, block_on, claim, complete, query, release, renew};
use crate::claim::{Claim, ClaimRequest, Completion, OwnerId, Release, Renewal, State};
use crate::store::Store;
use bytes::Bytes;
use seawall_core::{Fence, Token};
use std::sync::Arc;
use std::time::Duration;

const A: OwnerId = OwnerId(0xa);
const B: OwnerId = OwnerId(0xb);
const LEASE: Duration = Duration::from_secs(30);
const BEFORE: Duration = Duration::from_secs(29);
const SECOND: Duration = Duration::from_secs(1);

type Case<S> = fn(&Arc<S>, &ManualClock);

pub(super) fn all<S: Store>() -> Vec<(&'static str, Case<S>)> {
    vec![
        ("first_claim_is_granted_as_attempt_1", first_claim_is_granted_as_attempt_1),
        ("a_held_token_tells_what_remains", a_held_token_tells_what_remains),
        ("its_own_owner_is_held_too", its_own_owner_is_held_too),
        ("done_answers_with_the_result", done_answers_with_the_result),
        ("release_frees_at_once_and_counts", release_frees_at_once_and_counts),
        ("release_needs_owner_and_fence", release_needs_owner_and_fence),
        ("expiry_permits_takeover", expiry_permits_takeover),
        ("a_zombie_is_fenced_everywhere", a_zombie_is_fenced_everywhere),
        ("late_success_counts_without_takeover", late_success_counts_without_takeover),
        ("renewal_moves_the_expiry", renewal_moves_the_expiry),
        ("fences_only_grow", fences_only_grow),
        ("duplicates_in_a_batch_are_granted_once", duplicates_in_a_batch_are_granted_once),
        ("answers_stand_in_the_order_of_requests", answers_stand_in_the_order_of_requests),
        ("a_mixed_batch_fails_entry_by_entry", a_mixed_batch_fails_entry_by_entry),
        ("asking_again_gives_the_same_answer", asking_again_gives_the_same_answer),
        ("unknown_tokens_refuse_all_but_claims", unknown_tokens_refuse_all_but_claims),
        ("long_and_odd_tokens_stay_apart", long_and_odd_tokens_stay_apart),
        ("an_empty_batch_is_answered_empty", an_empty_batch_is_answered_empty),
        ("concurrent_claims_grant_exactly_one", concurrent_claims_grant_exactly_one),
        ("stats_count", stats_count),
    ]
}

fn token(name: &str) -> Token {
    Token::new(name.to_owned()).expect("a valid token")
}

#[track_caller]
fn granted(store: &impl Store, name: &str, owner: OwnerId) -> (Fence, u32) {
    match claim(store, &token(name), owner, LEASE) {
        Ok(Claim::Granted { fence, attempt }) => (fence, attempt),
        other => fail(&format!("{name} should be granted to {owner}, not {other:?}")),
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a failed case fails the test that runs it")]
fn fail(text: &str) -> ! {
    panic!("{text}")
}

#[track_caller]
fn expect_fenced(answer: Result<(), crate::StoreError>) {
    match answer {
        Err(error) if error.is_fenced() => {}
        other => fail(&format!("should be fenced, not {other:?}")),
    }
}

fn first_claim_is_granted_as_attempt_1<S: Store>(store: &Arc<S>, _: &ManualClock) {
    assert_eq!(query(store, &token("t")).ok(), Some(State::Absent));
    let (fence, attempt) = granted(store, "t", A);
    assert_eq!(attempt, 1);
    assert!(fence > Fence(0), "zero means no claim");
    let state = query(store, &token("t")).ok();
    assert_eq!(state, Some(State::Claimed { owner: A, fence, remaining: LEASE }));
}

fn a_held_token_tells_what_remains<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    granted(store, "t", A);
    clock.advance(BEFORE);
    assert_eq!(claim(store, &token("t"), B, LEASE).ok(), Some(Claim::Held { remaining: SECOND }));
}

fn its_own_owner_is_held_too<S: Store>(store: &Arc<S>, _: &ManualClock) {
    granted(store, "t", A);
    assert_eq!(claim(store, &token("t"), A, LEASE).ok(), Some(Claim::Held { remaining: LEASE }));
}

fn done_answers_with_the_result<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (fence, _) = granted(store, "t", A);
    complete(store, &token("t"), A, fence, "shipped").expect("completes");
    clock.advance(LEASE * 10);
    let result = Bytes::from_static(b"shipped");
    assert_eq!(claim(store, &token("t"), B, LEASE).ok(), Some(Claim::Done { result: result.clone() }));
    assert_eq!(query(store, &token("t")).ok(), Some(State::Done { result }));
    let (fence, _) = granted(store, "empty", A);
    complete(store, &token("empty"), A, fence, "").expect("completes");
    let empty = Some(Claim::Done { result: Bytes::new() });
    assert_eq!(claim(store, &token("empty"), A, LEASE).ok(), empty);
}

fn release_frees_at_once_and_counts<S: Store>(store: &Arc<S>, _: &ManualClock) {
    for expected in 1..=3 {
        let (fence, attempt) = granted(store, "t", A);
        assert_eq!(attempt, expected);
        release(store, &token("t"), A, fence).expect("releases");
        assert_eq!(query(store, &token("t")).ok(), Some(State::Absent));
    }
    assert_eq!(granted(store, "t", B).1, 4);
}

fn release_needs_owner_and_fence<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let (fence, _) = granted(store, "t", A);
    expect_fenced(release(store, &token("t"), B, fence));
    expect_fenced(release(store, &token("t"), A, Fence(fence.0 + 1)));
    expect_fenced(complete(store, &token("t"), B, fence, ""));
    expect_fenced(renew(store, &token("t"), B, fence, LEASE));
    release(store, &token("t"), A, fence).expect("releases");
}

fn expiry_permits_takeover<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (first, _) = granted(store, "t", A);
    clock.advance(BEFORE);
    assert!(matches!(claim(store, &token("t"), B, LEASE), Ok(Claim::Held { .. })));
    clock.advance(SECOND);
    assert_eq!(query(store, &token("t")).ok(), Some(State::Absent));
    let (second, attempt) = granted(store, "t", B);
    assert!(second > first, "{second:?} is not above {first:?}");
    assert_eq!(attempt, 2);
    assert!(matches!(claim(store, &token("t"), A, LEASE), Ok(Claim::Held { .. })));
}

fn a_zombie_is_fenced_everywhere<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (old, _) = granted(store, "t", A);
    clock.advance(LEASE);
    let (new, _) = granted(store, "t", B);
    expect_fenced(complete(store, &token("t"), A, old, "stale"));
    expect_fenced(renew(store, &token("t"), A, old, LEASE));
    expect_fenced(release(store, &token("t"), A, old));
    complete(store, &token("t"), B, new, "fresh").expect("the new owner completes");
    expect_fenced(complete(store, &token("t"), A, old, "stale"));
    let result = Bytes::from_static(b"fresh");
    assert_eq!(query(store, &token("t")).ok(), Some(State::Done { result }));
}

fn late_success_counts_without_takeover<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (fence, _) = granted(store, "t", A);
    clock.advance(LEASE + SECOND);
    complete(store, &token("t"), A, fence, "late").expect("nobody took it over");
    assert!(matches!(claim(store, &token("t"), B, LEASE), Ok(Claim::Done { .. })));
}

fn renewal_moves_the_expiry<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (fence, _) = granted(store, "t", A);
    for _ in 0..5 {
        clock.advance(BEFORE);
        renew(store, &token("t"), A, fence, LEASE).expect("renews");
        assert_eq!(claim(store, &token("t"), B, LEASE).ok(), Some(Claim::Held { remaining: LEASE }));
    }
    clock.advance(LEASE);
    granted(store, "t", B);
    let (fence, _) = granted(store, "u", A);
    complete(store, &token("u"), A, fence, "").expect("completes");
    expect_fenced(renew(store, &token("u"), A, fence, LEASE));
}

fn fences_only_grow<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let mut last = Fence(0);
    for round in 0..50_u32 {
        let (fence, _) = granted(store, "t", if round % 2 == 0 { A } else { B });
        assert!(fence > last, "{fence:?} is not above {last:?}");
        last = fence;
        if round % 3 == 0 {
            clock.advance(LEASE);
        } else {
            let owner = if round % 2 == 0 { A } else { B };
            release(store, &token("t"), owner, fence).expect("releases");
        }
    }
}

fn duplicates_in_a_batch_are_granted_once<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let request = ClaimRequest { token: token("t"), owner: A, lease: LEASE };
    let answers = block_on(store.claim(vec![request.clone(), request.clone(), request]));
    let granted = answers.iter().filter(|answer| matches!(answer, Ok(Claim::Granted { .. }))).count();
    assert_eq!(granted, 1, "{answers:?}");
    assert!(matches!(answers[0], Ok(Claim::Granted { .. })), "the first is served first: {answers:?}");
    assert!(matches!(answers[1..], [Ok(Claim::Held { .. }), Ok(Claim::Held { .. })]), "{answers:?}");
    let Ok(Claim::Granted { fence, .. }) = answers[0] else { fail("not granted") };
    let done = Completion { token: token("t"), owner: A, fence, result: Bytes::from_static(b"1") };
    let again = Completion { result: Bytes::from_static(b"2"), ..done.clone() };
    let answers = block_on(store.complete(vec![done, again]));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let first = Some(State::Done { result: Bytes::from_static(b"1") });
    assert_eq!(query(store, &token("t")).ok(), first, "a result once given stays");
}

fn answers_stand_in_the_order_of_requests<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let (held, _) = granted(store, "3", B);
    let (done, _) = granted(store, "7", B);
    complete(store, &token("7"), B, done, "seven").expect("completes");
    let requests: Vec<_> =
        (0..100).map(|n| ClaimRequest { token: token(&n.to_string()), owner: A, lease: LEASE }).collect();
    let answers = block_on(store.claim(requests));
    assert_eq!(answers.len(), 100);
    let mut fences = vec![];
    for (n, answer) in answers.into_iter().enumerate() {
        match (n, answer) {
            (3, Ok(Claim::Held { .. })) => {}
            (7, Ok(Claim::Done { result })) => assert_eq!(result, "seven"),
            (_, Ok(Claim::Granted { fence, attempt: 1 })) => fences.push((n, fence)),
            (n, other) => fail(&format!("the answer to {n} is {other:?}")),
        }
    }
    // Each fence must belong to the token it was given for.
    for (n, fence) in fences {
        complete(store, &token(&n.to_string()), A, fence, "").expect("completes under its fence");
    }
    release(store, &token("3"), B, held).expect("releases");
}

fn a_mixed_batch_fails_entry_by_entry<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let (good, _) = granted(store, "good", A);
    let (other, _) = granted(store, "other", B);
    let entry = |name: &str, fence| (token(name), fence);
    let entries = [entry("other", other), entry("good", good), entry("unknown", Fence(1))];
    let pattern = |answers: Vec<Result<(), crate::StoreError>>| -> Vec<bool> {
        answers.iter().map(Result::is_ok).collect()
    };
    let renewals = entries.iter().cloned();
    let renewals = renewals.map(|(token, fence)| Renewal { token, owner: A, fence, lease: LEASE }).collect();
    assert_eq!(pattern(block_on(store.renew(renewals))), [false, true, false]);
    let completions = entries.iter().cloned();
    let completions = completions
        .map(|(token, fence)| Completion { token, owner: A, fence, result: Bytes::new() })
        .collect();
    assert_eq!(pattern(block_on(store.complete(completions))), [false, true, false]);
    let releases = entries.map(|(token, fence)| Release { token, owner: B, fence }).to_vec();
    assert_eq!(pattern(block_on(store.release(releases))), [true, false, false]);
}

fn asking_again_gives_the_same_answer<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let (fence, _) = granted(store, "t", A);
    release(store, &token("t"), A, fence).expect("releases");
    release(store, &token("t"), A, fence).expect("releases again");
    let (fence, attempt) = granted(store, "t", A);
    assert_eq!(attempt, 2, "a repeated release counts once");
    complete(store, &token("t"), A, fence, "one").expect("completes");
    complete(store, &token("t"), A, fence, "two").expect("completes again");
    let result = Bytes::from_static(b"one");
    assert_eq!(query(store, &token("t")).ok(), Some(State::Done { result }));
    expect_fenced(release(store, &token("t"), A, fence));
}

fn unknown_tokens_refuse_all_but_claims<S: Store>(store: &Arc<S>, _: &ManualClock) {
    for fence in [Fence(0), Fence(1)] {
        expect_fenced(complete(store, &token("t"), A, fence, ""));
        expect_fenced(release(store, &token("t"), A, fence));
        expect_fenced(renew(store, &token("t"), A, fence, LEASE));
    }
    assert_eq!(query(store, &token("t")).ok(), Some(State::Absent));
    assert_eq!(granted(store, "t", A).1, 1);
}

fn long_and_odd_tokens_stay_apart<S: Store>(store: &Arc<S>, _: &ManualClock) {
    let long = "x".repeat(seawall_core::token::TOKEN_BYTES_MAX);
    let almost = format!("{}y", &long[1..]);
    let names = [long.as_str(), almost.as_str(), "a:b", "a", "b", "*", "';--", "{a}", "%61", "A"];
    for name in names {
        assert_eq!(granted(store, name, A).1, 1, "{name} is a token of its own");
    }
}

fn an_empty_batch_is_answered_empty<S: Store>(store: &Arc<S>, _: &ManualClock) {
    assert!(block_on(store.claim(vec![])).is_empty());
    assert!(block_on(store.complete(vec![])).is_empty());
    assert!(block_on(store.release(vec![])).is_empty());
    assert!(block_on(store.renew(vec![])).is_empty());
}

fn concurrent_claims_grant_exactly_one<S: Store>(store: &Arc<S>, _: &ManualClock) {
    const THREADS: u128 = 8;
    const TOKENS: usize = 50;
    let barrier = std::sync::Barrier::new(THREADS as usize);
    let grants: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|owner| {
                let (store, barrier) = (Arc::clone(store), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let names = (0..TOKENS).map(|n| format!("shared-{n}"));
                    names
                        .filter(|name| {
                            let answer = claim(&store, &token(name), OwnerId(owner), LEASE);
                            matches!(answer, Ok(Claim::Granted { .. }))
                        })
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(usize::MAX)).collect()
    });
    assert_eq!(grants.iter().sum::<usize>(), TOKENS, "{grants:?}");
}

fn stats_count<S: Store>(store: &Arc<S>, clock: &ManualClock) {
    let (first, _) = granted(store, "a", A);
    let (second, _) = granted(store, "b", A);
    granted(store, "c", A);
    let _ = claim(store, &token("c"), B, LEASE);
    complete(store, &token("a"), A, first, "").expect("completes");
    let _ = claim(store, &token("a"), B, LEASE);
    release(store, &token("b"), A, second).expect("releases");
    clock.advance(SECOND);
    expect_fenced(complete(store, &token("c"), B, Fence(1), ""));
    let stats = store.stats();
    assert_eq!((stats.claimed, stats.done), (1, 1), "{stats:?}");
    let totals = (stats.granted_total, stats.held_total, stats.done_total, stats.fenced_total);
    assert_eq!(totals, (3, 1, 1, 1), "{stats:?}");
}
