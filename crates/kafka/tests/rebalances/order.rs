//! One handler at a time for a key, whoever owns it.

use super::stage::{Place, ms, until};
use seawall_core::{Delivery, Outcome};
use std::time::Duration;

/// Elsewhere the old and the new owner of a key handle it at once (watermill #374, apalis #718).
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_handler_at_a_time_whoever_owns_it() {
    let Some(place) = Place::new("a_key_has_one_handler_at_a_time_whoever_owns_it", 4).await else { return };
    let work = |delivery: Delivery| async move {
        ms(1 + delivery.offset % 7).await;
        Outcome::Ack
    };
    let first = place.join(1, place.setup(), work);
    first.until_holds(4).await;
    let mut end = 0;
    for round in 0..3 {
        place.fill(4, 300);
        let more = [place.join(10 + round, place.setup(), work), place.join(20 + round, place.setup(), work)];
        until("all hold some", || more.iter().all(|member| !member.holds().is_empty())).await;
        place.fill(4, 300);
        end += 600;
        ms(200).await;
        for member in more {
            member.leave(Duration::from_secs(10)).await;
        }
    }
    place.until_committed(4, end).await;
    first.leave(Duration::from_secs(10)).await;
    place.diary.assert_order();
    place.diary.assert_each_once(4, end);
}
