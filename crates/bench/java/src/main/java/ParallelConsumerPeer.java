import com.sun.management.OperatingSystemMXBean;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Confluent's parallel consumer in key order. A line {@code GROUP RECORDS MILLIS} on standard input asks for one
 * round: read the topic as that new group until so many records are handled or so long after the first one. The
 * answer is {@code RECORDS NANOS CPU_NANOS}.
 */
public final class ParallelConsumerPeer {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private ParallelConsumerPeer() {}

    public static void main(String[] args) throws Exception {
        if (args.length != 4) {
            System.err.println("usage: ParallelConsumerPeer BOOTSTRAP TOPIC HANDLER_MILLIS CONCURRENCY");
            System.exit(2);
        }
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] asked = line.split(" ");
            long window = TimeUnit.MILLISECONDS.toNanos(Long.parseLong(asked[2]));
            System.out.println(round(args, asked[0], Long.parseLong(asked[1]), window));
        }
    }

    private static String round(String[] args, String group, long wanted, long window) throws Exception {
        long millis = Long.parseLong(args[2]);
        var settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", group);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        var consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(ProcessingOrder.KEY)
                .maxConcurrency(Integer.parseInt(args[3]))
                .consumer(consumer)
                .build();
        var first = new AtomicLong();
        var spent = new AtomicLong();
        var handled = new AtomicLong();
        var enough = new CountDownLatch(1);
        var answer = new String[1];
        ParallelStreamProcessor<byte[], byte[]> processor =
                ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(args[1]));
        processor.poll(context -> {
            if (first.get() == 0 && first.compareAndSet(0, System.nanoTime())) {
                spent.set(SYSTEM.getProcessCpuTime());
            }
            sleep(millis);
            long now = System.nanoTime();
            long done = handled.incrementAndGet();
            if ((done >= wanted || now - first.get() >= window) && enough.getCount() > 0) {
                synchronized (answer) {
                    if (answer[0] == null) {
                        long cost = SYSTEM.getProcessCpuTime() - spent.get();
                        answer[0] = done + " " + (now - first.get()) + " " + cost;
                        enough.countDown();
                    }
                }
            }
        });
        enough.await(2, TimeUnit.MINUTES);
        // What waits is dropped: the round is over.
        processor.closeDontDrainFirst();
        return answer[0] == null ? "0 1 0" : answer[0];
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
