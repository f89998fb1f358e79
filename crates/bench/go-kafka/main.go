// Kafka consumers written in Go that Seawall is measured against.
//
// A line `GROUP RECORDS MILLIS` on standard input asks for one round: read the topic as that new group until so
// many records are handled or so long after the first one. The answer is `RECORDS NANOS CPU_NANOS`.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// A round: what was asked for and how far it is.
type round struct {
	wanted  int
	window  time.Duration
	enough  context.CancelFunc
	mu      sync.Mutex
	handled int
	first   time.Time
	last    time.Time
	spent   time.Duration
	cost    time.Duration
}

// handle is the handler under test: it takes as long as it was told, then counts.
func (r *round) handle() {
	r.begin()
	time.Sleep(handlerTakes)
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.cost == 0 {
		r.handled++
		if r.handled >= r.wanted || now.Sub(r.first) >= r.window {
			r.last, r.cost = now, cpu()-r.spent
			r.enough()
		}
	}
}

func (r *round) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() {
		r.first, r.spent = time.Now(), cpu()
	}
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var handlerTakes time.Duration

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: kafka-peers franz|watermill BOOTSTRAP TOPIC HANDLER_MILLIS")
		os.Exit(2)
	}
	var millis int
	if _, err := fmt.Sscan(os.Args[4], &millis); err != nil {
		fail(err)
	}
	handlerTakes = time.Duration(millis) * time.Millisecond
	consume, known := map[string]func(context.Context, string, string, string, *round) error{
		"franz":     franz,
		"watermill": watermillKafka,
	}[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "no peer %q\n", os.Args[1])
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var group string
		var records, window int
		if _, err := fmt.Sscan(lines.Text(), &group, &records, &window); err != nil {
			fail(err)
		}
		ctx, enough := context.WithTimeout(context.Background(), 2*time.Minute)
		r := &round{wanted: records, window: time.Duration(window) * time.Millisecond, enough: enough}
		if err := consume(ctx, os.Args[2], os.Args[3], group, r); err != nil {
			fail(err)
		}
		enough()
		fmt.Println(r.handled, r.last.Sub(r.first).Nanoseconds(), r.cost.Nanoseconds())
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(4)
}
