package main

import (
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

var (
	permits = semaphore.NewWeighted(1_000_000)
	tokens  = rate.NewLimiter(rate.Limit(1e12), 1_000_000_000)
)

// guard takes a permit and a token for each record and gives the permit back.
func guard(records int) (granted int, nanos int64) {
	start := time.Now()
	for range records {
		if !permits.TryAcquire(1) {
			continue
		}
		if tokens.Allow() {
			granted++
		}
		permits.Release(1)
	}
	return granted, time.Since(start).Nanoseconds()
}
