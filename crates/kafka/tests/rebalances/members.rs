//! Members that restart.

use super::stage::{Place, SESSION, Setup, ms, until};
use seawall_core::{Delivery, Outcome};
use std::time::Duration;

async fn work(_: Delivery) -> Outcome {
    ms(1).await;
    Outcome::Ack
}

/// Elsewhere a static member that restarts shuffles everybody's partitions, or gets none back.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_and_nobody_else_notices() {
    let Some(place) = Place::new("a_static_member_restarts_and_nobody_else_notices", 4).await else { return };
    let setup = |id: &str| -> Setup {
        let mut setup = place.setup();
        setup.source.instance_id = Some(id.to_owned());
        setup.source.session_timeout = 5 * SESSION;
        setup
    };
    let stays = place.join(1, setup("stays"), work);
    stays.until_holds(4).await;
    let mut restarts = place.join(2, setup("restarts"), work);
    let theirs = restarts.until_holds(2).await;
    stays.until_holds(2).await;
    let ours = stays.holds();
    let mut end = 0;
    for restart in 0..2 {
        place.fill(4, 100);
        restarts.leave(Duration::from_secs(10)).await;
        place.fill(4, 100);
        // A member that leaves is replaced within a heartbeat or two.
        for _ in 0..30 {
            ms(100).await;
            assert_eq!(stays.holds(), ours, "nobody is given what the other will come back for");
        }
        end += 200;
        restarts = place.join(3 + restart, setup("restarts"), work);
        assert_eq!(restarts.until_holds(2).await, theirs);
        assert_eq!(stays.holds(), ours, "under the same generations");
    }
    until("all is done", || place.diary.acked().len() as u64 == 4 * end).await;
    place.until_committed(4, end).await;
    for member in [stays, restarts] {
        member.leave(Duration::from_secs(10)).await;
    }
    place.diary.assert_each_once(4, end);
    place.diary.assert_order();
}
