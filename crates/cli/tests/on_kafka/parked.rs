//! Successors of a parked key that memory has no room for are read again from the cluster, in order.

use crate::house::load::{Load, Shape};
use crate::house::seawall::Seawall;
use crate::house::{self, service::Service, wait_for};
use crate::stage::{House, create, kafka, open};
use std::time::Duration;

#[test]
fn what_memory_cannot_park_is_read_again_from_the_cluster_in_order() {
    let Some(kafka) = kafka("parked_kafka") else { return };
    let Some(service) = Service::start("parked_kafka", &["-errors=0.3", "-seed=5"]) else { return };
    create(kafka, "orders", 2);
    let dir = tempfile::tempdir().unwrap();
    let more = "queue = { parked_records = 8 }";
    let cluster = open(&kafka.bootstrap());
    let server =
        Seawall::run(&House { name: "orders", cluster, service: service.addr, more }.write(dir.path()));
    let shape = Shape { records: 4_000, keys: 4, batch: 100, producers: 2, seed: 3 };
    let load = Load::start(server.ingest, shape);
    let mut overflowed = 0;
    wait_for("every effect stands", Duration::from_mins(3), || {
        let lanes = &server.overview()["pipelines"][0]["lanes"];
        overflowed = overflowed.max(lanes["overflowed"].as_u64().unwrap());
        (service.summary().effects == shape.records).then_some(())
    });
    assert_eq!(load.join(), shape.records);
    assert!(overflowed > 0, "nothing overflowed, so nothing was read again");
    house::settled(&server, shape.records);
    service.summary().assert_orderly();
    server.stop();
}
