package main

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franz reads with one goroutine a partition, as franz-go's users keep the order of keys; a record is marked for
// the next automatic commit when its handler has returned.
func franz(ctx context.Context, bootstrap, topic, group string, r *round) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	partitions := map[int32]chan []*kgo.Record{}
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			break
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			lane := partitions[p.Partition]
			if lane == nil {
				lane = make(chan []*kgo.Record, 4)
				partitions[p.Partition] = lane
				go func() {
					for {
						select {
						case <-ctx.Done():
							return
						case records := <-lane:
							for _, record := range records {
								if ctx.Err() != nil {
									return
								}
								r.handle()
								client.MarkCommitRecords(record)
							}
						}
					}
				}()
			}
			select {
			case lane <- p.Records:
			case <-ctx.Done():
			}
		})
	}
	return nil
}
