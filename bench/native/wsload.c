/*
 * wsload: many WebSocket clients in one thread, cheap enough that the server under test is always the slower one.
 *
 *   --port P --connections N   where to, how many (each a descriptor)
 *   --path PATH                request target; %d is the connection's number, %s its line of --values
 *   --first FRAME              text frame sent after the handshake, with the same %d and %s
 *   --values FILE              one line per connection (tokens, channel lists)
 *   --ready TEXT               a connection is ready when --ready-count (1) frames with this text arrived;
 *                              without it, when the handshake is done
 *   --seconds S                ends by itself after this time, whatever happens (default 600)
 *
 * Prints `READY {json}` once, then obeys lines on its standard input: `reset` zeroes the counters, `report` prints
 * `RESULT {json}`; it ends when that input ends. Latency is taken from `"t":NANOSECONDS` (CLOCK_MONOTONIC) near the
 * start of a payload; frames with such a stamp are the `messages`, all text and binary frames are the `frames`.
 */
#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define HANDSHAKES_MAX 200
#define RECEIVE_BYTES (1 << 20)
#define REQUEST_BYTES 8192
/* The stamp stands near the start of the payload; looking further would cost time with large messages. */
#define STAMP_WITHIN_BYTES 400

enum state { CONNECTING, UPGRADING, OPEN, CLOSED };

struct connection {
  int fd;
  int number;
  enum state state;
  int ready_frames;
  uint32_t kept_bytes;
  uint8_t *kept; /* the cut-off start of a frame, between two reads */
};

static struct {
  uint64_t frames, messages, bytes, closed;
  uint64_t started_ns, first_ns, last_ns;
  double started_cpu;
  struct histogram latency;
} counters;

static struct {
  int port, connections, ready_count;
  double seconds;
  const char *path, *first, *ready;
  char **values;
  int value_count;
} options;

static uint8_t receive_buffer[RECEIVE_BYTES];
static int epoll;
static int upgrading, ready;
static uint64_t connected_at_ns, begun_ns;

static void reset_counters(void) {
  memset(&counters, 0, sizeof counters);
  counters.started_ns = monotonic_ns();
  counters.started_cpu = cpu_seconds();
}

static void report(void) {
  double seconds = (double)(monotonic_ns() - counters.started_ns) / 1e9;
  double span = counters.first_ns ? (double)(counters.last_ns - counters.first_ns) / 1e9 : 0;
  printf("RESULT {\"frames\":%llu,\"messages\":%llu,\"bytes\":%llu,\"closed\":%llu,\"seconds\":%.3f,\"spanSeconds\":%.3f,"
         "\"cpuSeconds\":%.3f,\"p50Us\":%.0f,\"p99Us\":%.0f,\"maxUs\":%.0f}\n",
         (unsigned long long)counters.frames, (unsigned long long)counters.messages,
         (unsigned long long)counters.bytes, (unsigned long long)counters.closed, seconds, span,
         cpu_seconds() - counters.started_cpu, histogram_quantile(&counters.latency, 0.5),
         histogram_quantile(&counters.latency, 0.99), histogram_quantile(&counters.latency, 1));
  fflush(stdout);
}

/* Copies a template with %d as the connection's number and %s as its line. */
static size_t fill(char *target, size_t room, const char *template, int number) {
  size_t used = 0;
  for (const char *from = template; *from && used + 1 < room; from++) {
    if (from[0] == '%' && from[1] == 'd') {
      used += (size_t)snprintf(target + used, room - used, "%d", number);
      from++;
    } else if (from[0] == '%' && from[1] == 's' && options.value_count > 0) {
      used += (size_t)snprintf(target + used, room - used, "%s", options.values[number % options.value_count]);
      from++;
    } else {
      target[used++] = *from;
    }
  }
  if (used + 1 >= room) fail("a request or first frame is longer than %zu bytes", room);
  target[used] = 0;
  return used;
}

static void send_frame(const struct connection *connection, uint8_t opcode, const uint8_t *payload, size_t length) {
  static uint8_t frame[REQUEST_BYTES + 8];
  size_t head = 2;
  frame[0] = 0x80 | opcode;
  if (length < 126) {
    frame[1] = (uint8_t)(0x80 | length);
  } else {
    frame[1] = 0x80 | 126;
    frame[2] = (uint8_t)(length >> 8);
    frame[3] = (uint8_t)length;
    head = 4;
  }
  /* A mask of zeros is a valid mask and leaves the payload readable in a packet dump. */
  memset(frame + head, 0, 4);
  memcpy(frame + head + 4, payload, length);
  write_all(connection->fd, (const char *)frame, head + 4 + length);
}

static void become_ready(void) {
  if (++ready < options.connections) return;
  printf("READY {\"connections\":%d,\"seconds\":%.3f}\n", ready, (double)(monotonic_ns() - connected_at_ns) / 1e9);
  fflush(stdout);
  reset_counters();
}

static void start_connection(struct connection *connection, int number) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0) fail("socket %d: %s", number, strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* Own source addresses, so that runs one after another do not meet ports that are still in TIME_WAIT. */
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in source =
      loopback(0x7f010000u + ((uint32_t)getpid() % 200) * 256 + (uint32_t)number % 100 + 1, 0);
  struct sockaddr_in target = loopback(0x7f000001, options.port);
  if (bind(fd, (void *)&source, sizeof source) < 0) fail("bind: %s", strerror(errno));
  if (connect(fd, (void *)&target, sizeof target) < 0 && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
  *connection = (struct connection){.fd = fd, .number = number, .state = CONNECTING};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  upgrading++;
}

static void send_handshake(struct connection *connection) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) fail("connect: %s", strerror(error));
  char path[REQUEST_BYTES - 512], request[REQUEST_BYTES];
  fill(path, sizeof path, options.path, connection->number);
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        path, options.port);
  write_all(connection->fd, request, (size_t)length);
  connection->state = UPGRADING;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

/* Reads the handshake's answer; the bytes it took, 0 while it is incomplete. */
static size_t take_handshake(struct connection *connection, const uint8_t *bytes, size_t length) {
  const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  if (memcmp(bytes, "HTTP/1.1 101", 12) != 0)
    fail("the server refused connection %d: %.*s", connection->number, (int)(length > 400 ? 400 : length), bytes);
  connection->state = OPEN;
  upgrading--;
  if (options.first != NULL) {
    char frame[REQUEST_BYTES];
    size_t size = fill(frame, sizeof frame, options.first, connection->number);
    send_frame(connection, 1, (const uint8_t *)frame, size);
  }
  if (options.ready == NULL) become_ready();
  return (size_t)(end - bytes) + 4;
}

static void count_data(struct connection *connection, const uint8_t *payload, size_t length, int final, uint64_t now) {
  counters.frames += (uint64_t)final;
  counters.bytes += length;
  size_t near = length < STAMP_WITHIN_BYTES ? length : STAMP_WITHIN_BYTES;
  const uint8_t *stamp = memmem(payload, near, "\"t\":", 4);
  if (stamp != NULL) {
    uint64_t sent_ns = strtoull((const char *)stamp + 4, NULL, 10);
    counters.messages++;
    histogram_add(&counters.latency, now > sent_ns ? (now - sent_ns) / 1000 : 0);
    if (!counters.first_ns) counters.first_ns = now;
    counters.last_ns = now;
  } else if (options.ready != NULL && connection->ready_frames < options.ready_count &&
             memmem(payload, length, options.ready, strlen(options.ready)) != NULL) {
    if (++connection->ready_frames == options.ready_count) become_ready();
  }
}

/* Takes every whole frame; the bytes it took. */
static size_t take_frames(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  uint64_t now = monotonic_ns();
  while (length - taken >= 2) {
    const uint8_t *frame = bytes + taken;
    size_t left = length - taken, head = 2;
    uint64_t size = frame[1] & 127;
    if (size == 126) {
      if (left < 4) break;
      size = (uint64_t)frame[2] << 8 | frame[3];
      head = 4;
    } else if (size == 127) {
      if (left < 10) break;
      size = 0;
      for (int i = 0; i < 8; i++) size = size << 8 | frame[2 + i];
      head = 10;
    }
    if (left < head + size) break;
    uint8_t opcode = frame[0] & 15;
    if (opcode <= 2)
      count_data(connection, frame + head, size, frame[0] >> 7, now);
    else if (opcode == 9)
      send_frame(connection, 10, frame + head, size);
    else if (opcode == 8)
      fprintf(stderr, "close frame: %.*s\n", (int)(size > 2 ? size - 2 : 0), frame + head + 2);
    taken += head + size;
  }
  return taken;
}

static void close_connection(struct connection *connection) {
  if (connection->state < OPEN) fail("the server closed connection %d before its handshake ended", connection->number);
  counters.closed++;
  close(connection->fd);
  free(connection->kept);
  connection->kept = NULL;
  connection->state = CLOSED;
}

static void keep(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (length > 0) {
    if (length > connection->kept_bytes) connection->kept = realloc(connection->kept, length);
    if (connection->kept == NULL) fail("out of memory");
    memcpy(connection->kept, bytes, length);
  } else if (connection->kept != NULL) {
    free(connection->kept);
    connection->kept = NULL;
  }
  connection->kept_bytes = (uint32_t)length;
}

static void receive(struct connection *connection) {
  size_t length = connection->kept_bytes, taken = 0;
  if (length >= RECEIVE_BYTES) fail("a frame is larger than %d bytes", RECEIVE_BYTES);
  if (length > 0) memcpy(receive_buffer, connection->kept, length);
  ssize_t got = read(connection->fd, receive_buffer + length, RECEIVE_BYTES - length);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    close_connection(connection);
    return;
  }
  length += (size_t)got;
  if (connection->state == UPGRADING) taken = take_handshake(connection, receive_buffer, length);
  if (connection->state == OPEN) taken += take_frames(connection, receive_buffer + taken, length - taken);
  keep(connection, receive_buffer + taken, length - taken);
}

/* False when the standard input has ended. */
static int obey(void) {
  char text[4096];
  ssize_t length = read(0, text, sizeof text - 1);
  if (length <= 0) return 0;
  text[length] = 0;
  for (char *word = strtok(text, "\n"); word != NULL; word = strtok(NULL, "\n")) {
    if (strcmp(word, "reset") == 0) reset_counters();
    if (strcmp(word, "report") == 0) report();
  }
  return 1;
}

static void read_values(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("%s: %s", path, strerror(errno));
  char *line = NULL;
  size_t room = 0;
  ssize_t length;
  options.values = calloc((size_t)options.connections, sizeof(char *));
  while (options.value_count < options.connections && (length = getline(&line, &room, file)) > 0) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    options.values[options.value_count++] = strdup(line);
  }
  free(line);
  fclose(file);
}

static void run(struct connection *connections) {
  struct epoll_event events[512], control = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &control);
  for (int started = 0;;) {
    while (started < options.connections && upgrading < HANDSHAKES_MAX) {
      start_connection(&connections[started], started);
      started++;
    }
    int count = epoll_wait(epoll, events, 512, 100);
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection == NULL) {
        if (!obey()) return;
      } else if (connection->state == CONNECTING) {
        send_handshake(connection);
      } else if (connection->state != CLOSED) {
        receive(connection);
      }
    }
    if ((double)(monotonic_ns() - begun_ns) / 1e9 > options.seconds) return;
  }
}

int main(int count, char **values) {
  options.port = atoi(required_option(count, values, "port"));
  options.connections = atoi(required_option(count, values, "connections"));
  options.path = option(count, values, "path", "/");
  options.first = option(count, values, "first", NULL);
  options.ready = option(count, values, "ready", NULL);
  options.ready_count = atoi(option(count, values, "ready-count", "1"));
  options.seconds = atof(option(count, values, "seconds", "600"));
  const char *file = option(count, values, "values", NULL);
  if (file != NULL) read_values(file);
  raise_descriptor_limit();
  begun_ns = connected_at_ns = monotonic_ns();
  epoll = epoll_create1(0);
  struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
  if (connections == NULL) fail("out of memory");
  run(connections);
  return 0;
}
