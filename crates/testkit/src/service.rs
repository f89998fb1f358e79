//! A service that does effects, and everything a service can do wrong.

use crate::chance::Mishap;
use crate::power::{Power, Site};
use crate::trace::Process;
use crate::truth::{Call, Ended, Truth};
use seawall_core::{Class, Delivery, Fault, Handler, Outcome};
use std::time::Duration;

/// The simulated service, as one process reaches it.
#[derive(Clone, Debug)]
pub struct SimService {
    truth: Truth,
    power: Power,
    process: Process,
    /// How long an effect may take; a slow one takes up to the deadline and over.
    timeout: Duration,
}

/// What the service will do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    Rejects,
    Strikes(Mishap),
}

/// In this order a call is struck, by one of them at most.
const MISHAPS: [Mishap; 8] = [
    Mishap::FailBefore,
    Mishap::FailAfter,
    Mishap::Slow,
    Mishap::Overload,
    Mishap::PanicBefore,
    Mishap::PanicAfter,
    Mishap::NeverAnswers,
    Mishap::LateEffect,
];

/// A call under way: whatever drops it is written down.
struct Under<'a> {
    service: &'a SimService,
    call: Call,
    open: bool,
}

impl Under<'_> {
    fn end(&mut self, ended: Ended, how: &'static str) {
        if std::mem::take(&mut self.open) && !self.service.power.is_off() {
            self.service.truth.enter(|facts| facts.answered(&self.call, ended, how));
        }
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.end(Ended::Dropped, "dropped");
    }
}

impl SimService {
    /// The service as `process` reaches it.
    pub fn new(truth: Truth, power: Power, process: Process, timeout: Duration) -> Self {
        Self { truth, power, process, timeout }
    }

    fn mood(&self, id: u32) -> Mood {
        let strikes = MISHAPS.into_iter().find(|mishap| self.truth.strikes(*mishap));
        let rejects = self.truth.facts().planned(id).is_some_and(|planned| planned.rejected);
        match strikes {
            // What is rejected has no effect.
            Some(Mishap::FailAfter | Mishap::LateEffect | Mishap::PanicAfter) | None if rejects => {
                Mood::Rejects
            }
            Some(mishap) => Mood::Strikes(mishap),
            None => Mood::Fine,
        }
    }

    async fn effect(&self, under: &Under<'_>) {
        self.power.alive(Site::BeforeEffect).await;
        self.truth.enter(|facts| facts.effect(&under.call));
        self.power.alive(Site::AfterEffect).await;
    }

    /// The request is out and will have its effect some time, whoever waits for it.
    fn late(&self, call: &Call) {
        let after = self.truth.facts().rng.u64(0..=self.timeout.as_millis() as u64 * 2);
        let (truth, power, call) = (self.truth.clone(), self.power.clone(), call.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            if !power.is_off() {
                truth.enter(|facts| facts.late_effect(&call));
            }
        });
    }

    async fn answer(&self, under: &mut Under<'_>) -> Outcome {
        let pause = self.truth.pause(12);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let mood = self.mood(under.call.id);
        match mood {
            Mood::Fine => self.effect(under).await,
            Mood::Rejects => {
                under.end(Ended::Failed, "rejected");
                return Outcome::DeadLetter(fault(Class::Permanent));
            }
            Mood::Strikes(mishap) => {
                if let Some(outcome) = self.strike(mishap, under).await {
                    return outcome;
                }
            }
        }
        under.end(Ended::Acked, "acked");
        Outcome::Ack
    }

    /// `None` where the call goes well after all.
    async fn strike(&self, mishap: Mishap, under: &mut Under<'_>) -> Option<Outcome> {
        match mishap {
            Mishap::FailBefore => {
                under.end(Ended::Failed, "failed");
                Some(Outcome::Retry(fault(Class::Transient)))
            }
            Mishap::FailAfter => {
                self.effect(under).await;
                under.end(Ended::Failed, "failed after the effect");
                Some(Outcome::Retry(fault(Class::Transient)))
            }
            Mishap::Overload => {
                let told = self.truth.pause(60);
                under.end(Ended::Failed, "overloaded");
                let fault = fault(Class::Overload);
                Some(Outcome::Retry(if told.is_zero() { fault } else { fault.after(told) }))
            }
            Mishap::PanicBefore => throw(under),
            Mishap::PanicAfter => {
                self.effect(under).await;
                throw(under)
            }
            Mishap::LateEffect => {
                self.late(&under.call);
                std::future::pending().await
            }
            Mishap::NeverAnswers => std::future::pending().await,
            _ => {
                let most = self.timeout.as_millis() as u64 * 5 / 4;
                let slow = self.truth.facts().rng.u64(1..=most);
                tokio::time::sleep(Duration::from_millis(slow)).await;
                let rejected = self.truth.facts().planned(under.call.id).is_some_and(|plan| plan.rejected);
                if rejected {
                    under.end(Ended::Failed, "rejected");
                    return Some(Outcome::DeadLetter(fault(Class::Permanent)));
                }
                self.effect(under).await;
                None
            }
        }
    }
}

fn fault(class: Class) -> Fault {
    Fault::new(class, "injected")
}

#[expect(clippy::panic, reason = "a handler that panics is what is simulated")]
fn throw(under: &mut Under<'_>) -> ! {
    under.end(Ended::Failed, "panicked");
    panic!("injected")
}

impl Handler for SimService {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        if self.power.is_off() {
            std::future::pending::<()>().await;
        }
        let Some(call) = self.truth.enter(|facts| facts.started(self.process, delivery)) else {
            return std::future::pending().await;
        };
        let mut under = Under { service: self, call, open: true };
        self.answer(&mut under).await
    }
}
