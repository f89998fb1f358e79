/** A recoverable producer whose cluster is away for a while in every two minutes. */

const PERIOD = 120;

export class Producer {
  constructor() {
    Object.assign(this, { waiting: 0, delivered: 0, t: 0, records: { direct: 0, buffer: 0, spill: 0, replay: 0 }, events: [], state: "direct", fallback: 0, switches: 0 });
  }

  step(t, at_ms) {
    this.t = t;
    const phase = t % PERIOD;
    const away = phase >= 50 && phase < 85;
    const taken = 1400;
    if (away) {
      if (phase > 52) this.records.spill += taken;
      this.waiting += taken;
    } else if (this.waiting > 0) {
      const moved = Math.min(this.waiting, 2_600);
      this.waiting -= moved;
      this.delivered += moved;
      this.records.replay += moved;
      this.records.direct += taken;
    } else {
      this.delivered = 0;
      this.records.direct += taken;
    }
    this.enter(away ? (phase < 53 ? "buffering" : "spilling") : this.waiting > 0 ? "replaying" : "direct", at_ms);
  }

  enter(state, at_ms) {
    if (state === this.state) return;
    this.events = [...this.events.slice(-31), { at_ms, what: "state", from: this.state, to: state }];
    this.state = state;
  }

  /** Everything at once, with long names and large figures. */
  inTrouble(at_ms) {
    const [first, second] = ["orders-events-eu-central-1-production", "orders-events-us-east-1-production-fallback"];
    const path = `/var/lib/seawall/data/spill/ingest.${first}`;
    const figures = { direct: 123_456_789, buffer: 12_345_678, spill: 98_765_432, replay: 87_654_321 };
    this.told = {
      name: `ingest.${first}`, state: "spilling", active: second,
      sinks: [{ name: first, breaker: "half_open", records: figures }, { name: second, breaker: "open", records: figures }],
      spill: { dir: path, bytes: 1020 << 20, bytes_max: 1 << 30, waiting_records: 12_345_678, waiting_bytes: 1000 << 20, trouble: `no space is left on the device, while writing ${path}` },
      replay: { delivered: 1_234_567, left_s: 12_345 },
      totals: { switches: 1, full: 123_456, timed_out: 4_567, refused: 3, unkept: 0 },
      events: [
        { at_ms, what: "switched", from: first, to: second },
        { at_ms, what: "spill_trouble", why: `no space is left on the device, while writing ${path}` },
        { at_ms, what: "refused", records: 3, why: `<b>too large</b> ${"unbroken".repeat(30)}` },
      ],
    };
  }

  view() {
    return { ...this.wellBehaved(), ...this.told };
  }

  wellBehaved() {
    const breaker = this.state === "spilling" ? "open" : "closed";
    const none = { direct: 0, buffer: 0, spill: 0, replay: 0 };
    return {
      name: "ingest.events-eu", use: "ingest", durability: "synced", state: this.state, active: "events-eu",
      sinks: [{ name: "events-eu", breaker, records: { ...this.records } }, { name: "events-us", breaker: "open", records: none }],
      memory: { bytes: this.state === "buffering" ? 11 << 20 : 380_000, bytes_max: 64 << 20, records: this.state === "buffering" ? 4200 : 120 },
      spill: { dir: "seawall-data/spill/ingest.events-eu", bytes: this.waiting * 1100 + (8 << 20), bytes_max: 1 << 30, waiting_records: this.waiting, waiting_bytes: this.waiting * 1100, trouble: null },
      replay: { delivered: this.delivered, left_s: this.state === "replaying" ? this.waiting / 2600 : null },
      totals: { switches: this.switches, full: 0, timed_out: 0, refused: 0, unkept: 0 },
      events: this.events,
    };
  }
}
