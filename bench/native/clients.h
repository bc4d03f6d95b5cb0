/*
 * Many clients in one thread: what wsload, streamload and pollload share. Cheap enough that the server under test is always
 * the slower one.
 *
 *   --port P --connections N   where to, how many (each a descriptor)
 *   --path PATH                request target; %d is the connection's number, %s its line of --values
 *   --first TEXT               what a program sends when the connection is open, with the same %d and %s
 *   --header "Name: value"     one further request header
 *   --values FILE              one line per connection (tokens, channel lists); a tab in it stands for a line end
 *   --ready TEXT               a connection is ready when --ready-count (1) frames with this text arrived;
 *                              without it, when the server has taken it
 *   --seconds S                ends by itself after this time, whatever happens (default 600)
 *
 * Prints `READY {json}` once, then obeys lines on its standard input: `reset` zeroes the counters, `report` prints
 * `RESULT {json}`; it ends when that input ends. Latency is taken from `"t":NANOSECONDS` (CLOCK_MONOTONIC) near the
 * start of a frame; frames with such a stamp are the `messages`.
 *
 * The including program defines before: `struct own`, what it keeps for each connection; and afterwards the functions
 * declared below.
 */
#ifndef LONGWIRE_BENCH_CLIENTS_H
#define LONGWIRE_BENCH_CLIENTS_H

#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define OPENING_MAX 200
#define RECEIVE_BYTES (1 << 20)
#define REQUEST_BYTES 8192
/* The stamp stands near the start of a frame; looking further would cost time with large ones. */
#define STAMP_WITHIN_BYTES 400

enum state { CONNECTING, OPENING, OPEN, CLOSED };

/* The cut-off start of something, until its rest comes. */
struct kept {
  uint32_t length;
  uint8_t *bytes;
};

struct connection {
  int fd;
  int number;
  enum state state;
  int ready_frames;
  struct kept kept;
  struct own own;
};

/* The socket is connected: send what opens. */
static void begin(struct connection *connection);
/* Takes what is whole of the received bytes; returns how many. The rest is shown again with what comes next. */
static size_t take(struct connection *connection, const uint8_t *bytes, size_t length);
/* Zeroes the program's own counters. */
static void reset_own(void);
/* Prints further members of the report, each with a comma before. */
static void report_own(void);
/* A line of the standard input besides `reset` and `report`. */
static void obey_own(const char *word);
/* Set by programs whose clients come back: a connection did not come about, or has ended. Otherwise the former is an error. */
static void (*lost)(struct connection *connection);
/* Called every few milliseconds, where it is set. */
static void (*tick)(void);

static struct {
  uint64_t frames, messages, bytes, wire_bytes, closed;
  uint64_t started_ns, first_ns, last_ns;
  double started_cpu;
  struct histogram latency;
} counters;

static struct {
  int port, connections, ready_count;
  double seconds;
  const char *path, *first, *header, *ready;
  char **values;
  int value_count;
} options;

static struct connection *connections;
static uint8_t receive_buffer[RECEIVE_BYTES];
static int epoll, opening, ready;
static uint64_t begun_ns;

static inline void reset_counters(void) {
  memset(&counters, 0, sizeof counters);
  counters.started_ns = monotonic_ns();
  counters.started_cpu = cpu_seconds();
  reset_own();
}

static inline void report(void) {
  double seconds = (double)(monotonic_ns() - counters.started_ns) / 1e9;
  double span = counters.first_ns ? (double)(counters.last_ns - counters.first_ns) / 1e9 : 0;
  printf("RESULT {\"frames\":%llu,\"messages\":%llu,\"bytes\":%llu,\"wireBytes\":%llu,\"closed\":%llu,"
         "\"seconds\":%.3f,\"spanSeconds\":%.3f,\"cpuSeconds\":%.3f,\"p50Us\":%.0f,\"p99Us\":%.0f,\"maxUs\":%.0f",
         (unsigned long long)counters.frames, (unsigned long long)counters.messages,
         (unsigned long long)counters.bytes, (unsigned long long)counters.wire_bytes,
         (unsigned long long)counters.closed, seconds, span, cpu_seconds() - counters.started_cpu,
         histogram_quantile(&counters.latency, 0.5), histogram_quantile(&counters.latency, 0.99),
         histogram_quantile(&counters.latency, 1));
  report_own();
  printf("}\n");
  fflush(stdout);
}

/* Copies a template with %d as the connection's number and %s as its line. */
static inline size_t fill(char *target, size_t room, const char *template, int number) {
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

/* Sends a GET; `more` are further headers, each with its line end. */
static inline void send_get(const struct connection *connection, const char *more, const char *path_end) {
  char path[REQUEST_BYTES - 512], request[REQUEST_BYTES];
  fill(path, sizeof path, options.path, connection->number);
  int length = snprintf(request, sizeof request, "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s\r\n", path, path_end,
                        options.port, more, options.header, *options.header ? "\r\n" : "");
  if ((size_t)length >= sizeof request) fail("a request is longer than %zu bytes", sizeof request);
  write_all(connection->fd, request, (size_t)length);
}

static inline void become_ready(void) {
  if (++ready < options.connections) return;
  printf("READY {\"connections\":%d,\"seconds\":%.3f}\n", ready, (double)(monotonic_ns() - begun_ns) / 1e9);
  fflush(stdout);
  reset_counters();
}

/* The server has taken the connection. */
static inline void become_open(struct connection *connection) {
  connection->state = OPEN;
  opening--;
  if (options.ready == NULL) become_ready();
}

static inline uint64_t count_message(const uint8_t *stamp, uint64_t now) {
  uint64_t sent_ns = strtoull((const char *)stamp + 4, NULL, 10);
  counters.messages++;
  histogram_add(&counters.latency, now > sent_ns ? (now - sent_ns) / 1000 : 0);
  if (!counters.first_ns) counters.first_ns = now;
  counters.last_ns = now;
  return sent_ns;
}

/* A whole frame, or with a `final` of 0 a part of one. A byte behind it must be readable: strtoull ends there. */
static inline void count_frame(struct connection *connection, const uint8_t *frame, size_t length, int final, uint64_t now) {
  counters.frames += (uint64_t)final;
  counters.bytes += length;
  size_t near = length < STAMP_WITHIN_BYTES ? length : STAMP_WITHIN_BYTES;
  const uint8_t *stamp = memmem(frame, near, "\"t\":", 4);
  if (stamp != NULL) {
    count_message(stamp, now);
  } else if (options.ready != NULL && connection->ready_frames < options.ready_count &&
             memmem(frame, length, options.ready, strlen(options.ready)) != NULL) {
    if (++connection->ready_frames == options.ready_count) become_ready();
  }
}

static inline void keep(struct kept *kept, const uint8_t *bytes, size_t length) {
  if (length > 0) {
    if (length > kept->length) kept->bytes = realloc(kept->bytes, length);
    if (kept->bytes == NULL) fail("out of memory");
    memcpy(kept->bytes, bytes, length);
  } else if (kept->bytes != NULL) {
    free(kept->bytes);
    kept->bytes = NULL;
  }
  kept->length = (uint32_t)length;
}

/* What was kept and what came, one behind the other. `keep` may be given the end of it. */
static inline size_t join(const struct kept *kept, uint8_t *buffer, size_t room, const uint8_t *bytes, size_t length) {
  if (kept->length + length > room) fail("something is larger than %zu bytes", room);
  if (kept->length > 0) memcpy(buffer, kept->bytes, kept->length);
  memcpy(buffer + kept->length, bytes, length);
  return kept->length + length;
}

static inline void lose(struct connection *connection) {
  if (connection->state < OPEN) opening--;
  close(connection->fd);
  keep(&connection->kept, NULL, 0);
  connection->state = CLOSED;
  lost(connection);
}

static inline void close_connection(struct connection *connection) {
  if (lost != NULL) {
    counters.closed++;
    lose(connection);
    return;
  }
  if (connection->state < OPEN) fail("the server closed connection %d before it was taken", connection->number);
  counters.closed++;
  close(connection->fd);
  keep(&connection->kept, NULL, 0);
  connection->state = CLOSED;
}

static inline void receive(struct connection *connection) {
  size_t length = connection->kept.length;
  if (length >= RECEIVE_BYTES) fail("a frame is larger than %d bytes", RECEIVE_BYTES);
  if (length > 0) memcpy(receive_buffer, connection->kept.bytes, length);
  ssize_t got = read(connection->fd, receive_buffer + length, RECEIVE_BYTES - length);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    close_connection(connection);
    return;
  }
  counters.wire_bytes += (uint64_t)got;
  length += (size_t)got;
  size_t taken = take(connection, receive_buffer, length);
  if (connection->state != CLOSED) keep(&connection->kept, receive_buffer + taken, length - taken);
}

static inline void start_connection(struct connection *connection, int number) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0) fail("socket %d: %s", number, strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* Own source addresses, so that runs one after another do not meet ports that are still in TIME_WAIT. */
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in source =
      loopback(0x7f010000u + ((uint32_t)getpid() % 200) * 256 + (uint32_t)number % 100 + 1, 0);
  struct sockaddr_in target = loopback(0x7f000001, options.port);
  if (bind(fd, (void *)&source, sizeof source) < 0) fail("bind: %s", strerror(errno));
  connection->fd = fd;
  connection->number = number;
  connection->state = CONNECTING;
  connection->ready_frames = 0;
  opening++;
  if (connect(fd, (void *)&target, sizeof target) < 0 && errno != EINPROGRESS) {
    if (lost == NULL) fail("connect: %s", strerror(errno));
    lose(connection);
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static inline void begin_connection(struct connection *connection) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error && lost != NULL) {
    lose(connection);
    return;
  }
  if (error) fail("connect: %s", strerror(error));
  connection->state = OPENING;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
  begin(connection);
}

/* False when the standard input has ended. */
static inline int obey(void) {
  char text[4096];
  ssize_t length = read(0, text, sizeof text - 1);
  if (length <= 0) return 0;
  text[length] = 0;
  for (char *word = strtok(text, "\n"); word != NULL; word = strtok(NULL, "\n")) {
    if (strcmp(word, "reset") == 0) reset_counters();
    else if (strcmp(word, "report") == 0) report();
    else obey_own(word);
  }
  return 1;
}

static inline void read_values(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("%s: %s", path, strerror(errno));
  char *line = NULL;
  size_t room = 0;
  ssize_t length;
  options.values = calloc((size_t)options.connections, sizeof(char *));
  while (options.value_count < options.connections && (length = getline(&line, &room, file)) > 0) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    for (char *tab = line; (tab = strchr(tab, '\t')) != NULL; tab++) *tab = '\n';
    options.values[options.value_count++] = strdup(line);
  }
  free(line);
  fclose(file);
}

static inline void run(void) {
  struct epoll_event events[512], control = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &control);
  for (int started = 0;;) {
    while (started < options.connections && opening < OPENING_MAX) {
      start_connection(&connections[started], started);
      started++;
    }
    int count = epoll_wait(epoll, events, 512, tick == NULL ? 100 : 5);
    if (tick != NULL) tick();
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection == NULL) {
        if (!obey()) return;
      } else if (connection->state == CONNECTING) {
        begin_connection(connection);
      } else if (connection->state != CLOSED) {
        receive(connection);
      }
    }
    if ((double)(monotonic_ns() - begun_ns) / 1e9 > options.seconds) return;
  }
}

static inline void run_clients(int count, char **values) {
  options.port = atoi(required_option(count, values, "port"));
  options.connections = atoi(required_option(count, values, "connections"));
  options.path = option(count, values, "path", "/");
  options.first = option(count, values, "first", NULL);
  options.header = option(count, values, "header", "");
  options.ready = option(count, values, "ready", NULL);
  options.ready_count = atoi(option(count, values, "ready-count", "1"));
  options.seconds = atof(option(count, values, "seconds", "600"));
  const char *file = option(count, values, "values", NULL);
  if (file != NULL) read_values(file);
  raise_descriptor_limit();
  begun_ns = monotonic_ns();
  epoll = epoll_create1(0);
  connections = calloc((size_t)options.connections, sizeof *connections);
  if (connections == NULL) fail("out of memory");
  run();
}

#endif
