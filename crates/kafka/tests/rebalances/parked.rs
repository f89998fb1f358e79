//! Successors of parked records that memory has no room for: they come back from the broker.

use super::stage::{Place, until};
use seawall_consumer::RetryOptions;
use seawall_core::{Class, Delivery, Fault, Outcome};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

const PARTITIONS: u32 = 4;
const RECORDS: usize = 2_000;

/// Every partition overflows all the time and wants its records again, and none waits for another's turn.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_overflow_at_once_do_not_starve_each_other() {
    const NAME: &str = "partitions_that_overflow_at_once_do_not_starve_each_other";
    let Some(place) = Place::new(NAME, PARTITIONS).await else { return };
    place.fill(PARTITIONS, RECORDS);
    let mut setup = place.setup();
    setup.consumer.retry = RetryOptions {
        parked_records: 8,
        base: Duration::from_millis(10),
        max: Duration::from_millis(50),
        ..RetryOptions::default()
    };
    let tries: Mutex<HashMap<(u32, u64), u64>> = Mutex::default();
    let member =
        place.join(1, setup, move |delivery: Delivery| {
            let place = (delivery.origin.partition, delivery.offset);
            let tried = {
                let mut tries = tries.lock().unwrap();
                let tried = tries.entry(place).or_default();
                *tried += 1;
                *tried
            };
            // Three of ten fail, in no pattern.
            let mut dice = fastrand::Rng::with_seed(u64::from(place.0) << 32 | place.1 << 8 | tried);
            let fails = dice.f64() < 0.3;
            async move {
                if fails { Outcome::Retry(Fault::new(Class::Transient, "try again")) } else { Outcome::Ack }
            }
        });
    let mut overflowed = 0;
    until("all is done", || {
        overflowed = overflowed.max(member.snapshot().lanes.overflowed);
        place.diary.acked().len() == PARTITIONS as usize * RECORDS
    })
    .await;
    assert!(overflowed > 0, "nothing overflowed, so nothing was read again");
    place.until_committed(PARTITIONS, RECORDS as u64).await;
    member.leave(Duration::from_secs(10)).await;
    place.diary.assert_each_once(PARTITIONS, RECORDS as u64);
    place.diary.assert_order();
}
