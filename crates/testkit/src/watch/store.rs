//! A claim store, watched.

use super::{Injected, Watch};
use crate::chance::Mishap;
use crate::power::Site;
use seawall_core::Token;
use seawall_idempotency::{
    Claim, ClaimRequest, Completion, Release, Renewal, State, Store, StoreError, StoreStats,
};

/// A watched store.
#[derive(Debug)]
pub struct WatchedStore<S> {
    inner: S,
    watch: Watch,
}

fn refused<T>(count: usize) -> Vec<Result<T, StoreError>> {
    let refused = || Err(StoreError::unavailable(Injected("the store cannot be reached")));
    std::iter::repeat_with(refused).take(count).collect()
}

fn lost<T>(count: usize) -> Vec<Result<T, StoreError>> {
    let lost = || Err(StoreError::unknown(Injected("the store's answer is lost")));
    std::iter::repeat_with(lost).take(count).collect()
}

impl<S: Store> WatchedStore<S> {
    /// Watches `inner`.
    pub fn new(inner: S, watch: Watch) -> Self {
        Self { inner, watch }
    }

    async fn delay(&self) {
        if self.watch.power.is_off() {
            std::future::pending::<()>().await;
        }
        if self.watch.truth.strikes(Mishap::StoreSlow) {
            let slow = self.watch.truth.facts().rng.u64(1..40);
            tokio::time::sleep(std::time::Duration::from_millis(slow)).await;
        }
    }
}

fn name<T>(answer: &Result<T, StoreError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(StoreError::Fenced { .. }) => "fenced",
        Err(StoreError::Unknown(_)) => "unknown",
        Err(_) => "refused",
    }
}

impl<S: Store> Store for WatchedStore<S> {
    async fn claim(&self, requests: Vec<ClaimRequest>) -> Vec<Result<Claim, StoreError>> {
        self.delay().await;
        self.watch.power.alive(Site::BeforeClaim).await;
        if self.watch.truth.strikes(Mishap::ClaimRefused) {
            return refused(requests.len());
        }
        let tokens: Vec<Token> = requests.iter().map(|request| request.token.clone()).collect();
        let answers = self.inner.claim(requests).await;
        self.watch.truth.enter(|facts| {
            for (token, answer) in tokens.iter().zip(&answers) {
                match answer {
                    Ok(Claim::Granted { fence, .. }) => facts.granted(self.watch.process, token, *fence),
                    Ok(Claim::Done { .. }) => facts.said_done(token),
                    Ok(Claim::Held { .. }) => facts.said_held(token),
                    Err(_) => facts.coverage.add("claim failed", 1),
                }
            }
        });
        self.watch.power.alive(Site::AfterClaim).await;
        if self.watch.truth.strikes(Mishap::ClaimAnswerLost) {
            return lost(answers.len());
        }
        self.delay().await;
        answers
    }

    async fn complete(&self, completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
        self.watch.truth.enter(|facts| {
            for completion in &completions {
                facts.completing(&completion.token, completion.fence);
            }
        });
        self.delay().await;
        self.watch.power.alive(Site::BeforeComplete).await;
        if self.watch.truth.strikes(Mishap::CompleteRefused) {
            return refused(completions.len());
        }
        let tokens: Vec<Token> = completions.iter().map(|completion| completion.token.clone()).collect();
        let answers = self.inner.complete(completions).await;
        self.watch.truth.enter(|facts| {
            for (token, answer) in tokens.iter().zip(&answers) {
                facts.completed(token, name(answer));
            }
        });
        self.watch.power.alive(Site::AfterComplete).await;
        if self.watch.truth.strikes(Mishap::CompleteAnswerLost) {
            return lost(answers.len());
        }
        self.delay().await;
        answers
    }

    async fn release(&self, releases: Vec<Release>) -> Vec<Result<(), StoreError>> {
        self.watch.truth.enter(|facts| {
            for release in &releases {
                facts.releasing(&release.token, release.fence);
            }
        });
        self.delay().await;
        if self.watch.truth.strikes(Mishap::ReleaseFails) {
            return refused(releases.len());
        }
        let claims: Vec<_> = releases.iter().map(|release| (release.token.clone(), release.fence)).collect();
        let answers = self.inner.release(releases).await;
        self.watch.truth.enter(|facts| {
            for ((token, fence), _) in claims.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
                facts.released_claim(token, *fence);
            }
        });
        answers
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Vec<Result<(), StoreError>> {
        let claims: Vec<_> = renewals.iter().map(|renewal| (renewal.token.clone(), renewal.fence)).collect();
        if !self.watch.power.is_off() {
            self.watch
                .truth
                .enter(|facts| claims.iter().for_each(|(token, fence)| facts.renewing(token, *fence)));
        }
        self.delay().await;
        if self.watch.truth.strikes(Mishap::RenewFails) {
            return refused(renewals.len());
        }
        self.watch.truth.facts().coverage.add("renewal", renewals.len() as u64);
        let answers = self.inner.renew(renewals).await;
        self.watch.truth.enter(|facts| {
            for ((token, fence), _) in claims.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
                facts.renewed(token, *fence);
            }
        });
        answers
    }

    async fn query(&self, token: Token) -> Result<State, StoreError> {
        self.inner.query(token).await
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
}
