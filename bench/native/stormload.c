/*
 * stormload: many WebSocket clients that come back when they lose their server, as the SDK does: after a random part of a backoff that doubles
 * with each attempt that fails. Each has one channel, asks for what it missed there, and checks every offset; clients.h tells the options and
 * what it prints.
 *
 *   --first FRAME         `connect`, with the token of --values
 *   --channels N          connection n has the channel `storm-<n modulo N>`
 *   --backoff-min-ms MS   (1000)  --backoff-max-ms MS (30000)
 *   --seed N              (1)
 *
 * Further lines on the standard input: `hold`: who is lost stays away, until `release`; `expect N`: from now on, BACK {json} is
 * printed once when every client is connected and at offset N of its channel or beyond. Its times are from the line `release`.
 */
#define _GNU_SOURCE
#include <stdint.h>

struct own {
  char epoch[32];
  uint64_t offset;
  uint64_t due_ns; /* of the next attempt; 0: none */
  int attempt;
  int subscribed, was_subscribed, is_back;
};

#include "clients.h"
#include "websocket.h"

static int channel_count, holding, awaiting, back;
static uint64_t backoff_min_ns, backoff_max_ns, target, released_ns, random_state;
static struct histogram back_times;
static struct {
  uint64_t attempts, failed, repeats, gaps, unrecovered, lost;
} storm;

static double random_share(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (double)(random_state >> 11) / (double)(1ull << 53);
}

static void schedule(struct connection *connection) {
  struct own *own = &connection->own;
  uint64_t wait = backoff_min_ns;
  for (int attempt = 1; attempt < own->attempt && wait < backoff_max_ns; attempt++) wait *= 2;
  if (wait > backoff_max_ns) wait = backoff_max_ns;
  own->due_ns = monotonic_ns() + (uint64_t)((double)wait * random_share());
}

static void be_lost(struct connection *connection) {
  struct own *own = &connection->own;
  if (own->subscribed) {
    storm.lost++;
    own->attempt = 0;
  } else {
    storm.failed++;
  }
  if (own->is_back) back--;
  own->subscribed = own->is_back = 0;
  own->attempt++;
  own->due_ns = 0;
  if (!holding) schedule(connection);
}

static void try_again(void) {
  uint64_t now = monotonic_ns();
  for (int number = 0; number < options.connections; number++) {
    struct own *own = &connections[number].own;
    if (own->due_ns == 0 || own->due_ns > now) continue;
    own->due_ns = 0;
    storm.attempts++;
    start_connection(&connections[number], number);
  }
}

static void begin(struct connection *connection) { send_upgrade(connection); }

static void subscribe(const struct connection *connection) {
  const struct own *own = &connection->own;
  char frame[256], since[128] = "";
  if (own->was_subscribed)
    snprintf(since, sizeof since, ",\"since\":{\"epoch\":\"%s\",\"offset\":%llu}", own->epoch,
             (unsigned long long)own->offset);
  int length = snprintf(frame, sizeof frame, "{\"type\":\"subscribe\",\"channel\":\"storm-%d\"%s}",
                        connection->number % channel_count, since);
  send_frame(connection, 1, (const uint8_t *)frame, (size_t)length);
}

static void look_whether_back(struct connection *connection) {
  struct own *own = &connection->own;
  if (!awaiting || own->is_back || !own->subscribed || own->offset < target) return;
  own->is_back = 1;
  uint64_t now = monotonic_ns();
  histogram_add(&back_times, (now - released_ns) / 1000);
  if (++back < options.connections) return;
  awaiting = 0;
  printf("BACK {\"seconds\":%.3f,\"p50Us\":%.0f,\"p99Us\":%.0f,\"attempts\":%llu,\"failed\":%llu,\"repeats\":%llu,"
         "\"gaps\":%llu,\"unrecovered\":%llu}\n",
         (double)(now - released_ns) / 1e9, histogram_quantile(&back_times, 0.5), histogram_quantile(&back_times, 0.99),
         (unsigned long long)storm.attempts, (unsigned long long)storm.failed, (unsigned long long)storm.repeats,
         (unsigned long long)storm.gaps, (unsigned long long)storm.unrecovered);
  fflush(stdout);
}

static const uint8_t *after(const uint8_t *text, size_t length, const char *word) {
  const uint8_t *found = memmem(text, length, word, strlen(word));
  return found == NULL ? NULL : found + strlen(word);
}

static void take_subscribed(struct connection *connection, const uint8_t *text, size_t length) {
  struct own *own = &connection->own;
  const uint8_t *epoch = after(text, length, "\"epoch\":\""), *offset = after(text, length, "\"offset\":");
  const uint8_t *end = epoch == NULL ? NULL : memchr(epoch, '"', (size_t)(text + length - epoch));
  if (end == NULL || offset == NULL || (size_t)(end - epoch) >= sizeof own->epoch)
    fail("not understood: %.*s", (int)length, text);
  if (own->was_subscribed && after(text, length, "\"recovered\":true") == NULL) storm.unrecovered++;
  memcpy(own->epoch, epoch, (size_t)(end - epoch));
  own->epoch[end - epoch] = 0;
  own->offset = strtoull((const char *)offset, NULL, 10);
  own->subscribed = 1;
  if (!own->was_subscribed) become_ready();
  own->was_subscribed = 1;
}

static void take_offset(struct own *own, uint64_t offset) {
  if (offset <= own->offset) storm.repeats++;
  else if (offset > own->offset + 1) storm.gaps++;
  if (offset > own->offset) own->offset = offset;
}

static void take_message(struct connection *connection, uint8_t opcode, const uint8_t *text, size_t length, int final,
                         uint64_t now) {
  char channel[48];
  (void)opcode;
  if (!final) fail("a message in parts");
  counters.frames++;
  counters.bytes += length;
  if (after(text, length, "{\"type\":\"connected\"") != NULL) subscribe(connection);
  snprintf(channel, sizeof channel, "\"channel\":\"storm-%d\"", connection->number % channel_count);
  if (after(text, length, channel) == NULL) return;
  if (after(text, length, "{\"type\":\"subscribed\"") != NULL) {
    take_subscribed(connection, text, length);
  } else if (after(text, length, "{\"type\":\"message\"") != NULL) {
    const uint8_t *offset = after(text, length, "\"offset\":"), *stamp = memmem(text, length, "\"t\":", 4);
    if (offset == NULL) fail("a message without offset: %.*s", (int)length, text);
    take_offset(&connection->own, strtoull((const char *)offset, NULL, 10));
    if (stamp != NULL) count_message(stamp, now);
  }
  look_whether_back(connection);
}

static size_t take(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  if (connection->state == OPENING) taken = take_handshake(connection, bytes, length);
  if (connection->state == OPEN) taken += take_frames(connection, bytes + taken, length - taken);
  return taken;
}

static void reset_own(void) { memset(&storm, 0, sizeof storm); }

static void report_own(void) {
  printf(",\"lost\":%llu,\"repeats\":%llu,\"gaps\":%llu,\"unrecovered\":%llu", (unsigned long long)storm.lost,
         (unsigned long long)storm.repeats, (unsigned long long)storm.gaps, (unsigned long long)storm.unrecovered);
}

static void release(void) {
  holding = 0;
  released_ns = monotonic_ns();
  for (int number = 0; number < options.connections; number++)
    if (connections[number].state == CLOSED && connections[number].own.due_ns == 0) schedule(&connections[number]);
}

static void expect(uint64_t offset) {
  target = offset;
  awaiting = 1;
  back = 0;
  memset(&back_times, 0, sizeof back_times);
  for (int number = 0; number < options.connections; number++) connections[number].own.is_back = 0;
  if (released_ns == 0) released_ns = monotonic_ns();
  for (int number = 0; number < options.connections; number++) look_whether_back(&connections[number]);
}

static void obey_own(const char *word) {
  if (strcmp(word, "hold") == 0) holding = 1;
  else if (strcmp(word, "release") == 0) release();
  else if (strncmp(word, "expect ", 7) == 0) expect(strtoull(word + 7, NULL, 10));
  else fail("unknown word: %s", word);
}

int main(int count, char **values) {
  channel_count = atoi(required_option(count, values, "channels"));
  backoff_min_ns = strtoull(option(count, values, "backoff-min-ms", "1000"), NULL, 10) * 1000000;
  backoff_max_ns = strtoull(option(count, values, "backoff-max-ms", "30000"), NULL, 10) * 1000000;
  random_state = strtoull(option(count, values, "seed", "1"), NULL, 10) * 0x9e3779b97f4a7c15ull | 1;
  lost = be_lost;
  tick = try_again;
  run_clients(count, values);
  return 0;
}
