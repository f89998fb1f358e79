package main

import (
	"context"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

// watermillKafka reads as Watermill's router does: a goroutine a message. The subscriber hands out the next
// message of a partition when the one before is acknowledged.
func watermillKafka(ctx context.Context, bootstrap, topic, group string, r *round) error {
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers:               strings.Split(bootstrap, ","),
		Unmarshaler:           kafka.DefaultMarshaler{},
		OverwriteSaramaConfig: config,
		ConsumerGroup:         group,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	defer subscriber.Close()
	messages, err := subscriber.Subscribe(ctx, topic)
	if err != nil {
		return err
	}
	for message := range messages {
		go func() {
			r.handle()
			message.Ack()
		}()
	}
	return nil
}
