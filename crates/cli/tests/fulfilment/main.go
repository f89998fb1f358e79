// A fulfilment service as a user would write one, in Go, with nothing of Seawall in it: it keeps its own
// record of which order it fulfilled, by token, and misbehaves at given rates. The end-to-end tests start it
// in a process of its own and ask it, not Seawall, what really happened.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"sync"
	"time"
)

type order struct {
	Key string `json:"key"`
	Seq uint64 `json:"seq"`
}

type summary struct {
	// Requests that arrived whole.
	Requests uint64 `json:"requests"`
	// Distinct tokens whose effect stands.
	Effects uint64 `json:"effects"`
	// Requests for a token whose effect stood already.
	Repeats uint64 `json:"repeats"`
	// Repeats of a token that had been answered with a 2xx before.
	RepeatsAfterAnswer uint64 `json:"repeats_after_answer"`
	// Effects whose sequence number was not the next of their key.
	OrderViolations uint64 `json:"order_violations"`
	// Deliveries of one key that overlapped in time.
	Overlaps uint64 `json:"overlaps"`
	// Requests with a fence below the highest seen for their token.
	StaleFences uint64 `json:"stale_fences"`
	// The same order under two tokens.
	TokenChanges uint64 `json:"token_changes"`
	// The first violation, in words.
	First string `json:"first,omitempty"`
}

type service struct {
	mu      sync.Mutex
	errors  float64
	resets  float64
	slow    float64
	slowFor time.Duration
	work    time.Duration
	random  *rand.Rand
	effects map[string]bool   // token -> answered with 2xx
	tokens  map[string]string // key/seq -> token
	next    map[string]uint64 // key -> next sequence number
	busy    map[string]string // key -> token being handled
	fences  map[string]uint64
	sum     summary
}

type fate int

const (
	well fate = iota
	failBefore
	resetBefore
	resetAfter
	slowly
)

func (s *service) draw() fate {
	x := s.random.Float64()
	if x < s.errors {
		return failBefore
	}
	x -= s.errors
	if x < s.resets/2 {
		return resetBefore
	}
	if x < s.resets {
		return resetAfter
	}
	x -= s.resets
	if x < s.slow {
		return slowly
	}
	return well
}

func (s *service) violation(count *uint64, format string, args ...any) {
	*count++
	if s.sum.First == "" {
		s.sum.First = fmt.Sprintf(format, args...)
	}
}

// arrive notes the request and draws what will become of it.
func (s *service) arrive(o order, token string, fence uint64) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Requests++
	id := fmt.Sprintf("%s/%d", o.Key, o.Seq)
	if old, known := s.tokens[id]; known && old != token {
		s.violation(&s.sum.TokenChanges, "order %s came as %s and as %s", id, old, token)
	}
	s.tokens[id] = token
	if fence < s.fences[token] {
		s.violation(&s.sum.StaleFences, "token %s came with fence %d after %d", token, fence, s.fences[token])
	} else {
		s.fences[token] = fence
	}
	if other, busy := s.busy[o.Key]; busy && other != token {
		s.violation(&s.sum.Overlaps, "key %s: %s arrived while %s was being handled", o.Key, token, other)
	}
	s.busy[o.Key] = token
	return s.draw()
}

// fulfil makes the effect stand, once a token, and says whether it stood before.
func (s *service) fulfil(o order, token string, answered bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, stands := s.effects[token]
	if stands {
		s.sum.Repeats++
		if before {
			s.sum.RepeatsAfterAnswer++
		}
		s.effects[token] = before || answered
		return true
	}
	s.effects[token] = answered
	s.sum.Effects++
	if o.Seq != s.next[o.Key] {
		s.violation(&s.sum.OrderViolations, "key %s: got %d, expected %d", o.Key, o.Seq, s.next[o.Key])
	}
	s.next[o.Key] = o.Seq + 1
	return false
}

func (s *service) leave(o order, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[o.Key] == token {
		delete(s.busy, o.Key)
	}
}

func (s *service) handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	token := r.Header.Get("X-Idempotent-Token")
	var fence uint64
	fmt.Sscan(r.Header.Get("Seawall-Fence"), &fence)
	fate := s.arrive(o, token, fence)
	defer s.leave(o, token)
	if s.work > 0 {
		time.Sleep(s.work)
	}
	switch fate {
	case failBefore:
		http.Error(w, "the warehouse did not answer", http.StatusInternalServerError)
		return
	case resetBefore:
		panic(http.ErrAbortHandler)
	case resetAfter:
		s.fulfil(o, token, false)
		panic(http.ErrAbortHandler)
	case slowly:
		time.Sleep(s.slowFor)
	}
	if s.fulfil(o, token, true) {
		w.WriteHeader(http.StatusConflict)
	}
}

func (s *service) summarise(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	json.NewEncoder(w).Encode(s.sum)
}

func main() {
	s := &service{
		effects: map[string]bool{}, tokens: map[string]string{}, next: map[string]uint64{},
		busy: map[string]string{}, fences: map[string]uint64{},
	}
	flag.Float64Var(&s.errors, "errors", 0, "share of requests answered with 500")
	flag.Float64Var(&s.resets, "resets", 0, "share of requests whose connection is reset, half before and half after the effect")
	flag.Float64Var(&s.slow, "slow", 0, "share of requests that take longer")
	flag.DurationVar(&s.slowFor, "slow-for", 100*time.Millisecond, "how much longer those take")
	flag.DurationVar(&s.work, "work", 0, "how long every request works")
	seed := flag.Int64("seed", 1, "seed of the misbehaviour")
	addr := flag.String("addr", "127.0.0.1:0", "listen address")
	flag.Parse()
	s.random = rand.New(rand.NewSource(*seed))
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("/orders", s.handle)
	mux.HandleFunc("/summary", s.summarise)
	log.Fatal(http.Serve(listener, mux))
}
