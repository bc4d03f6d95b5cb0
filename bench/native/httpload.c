/*
 * httpload: posts to 127.0.0.1 over keep-alive connections, each with one request in flight.
 *
 *   --port P --path PATH       where to
 *   --connections N            connections, and so requests in flight (default 64)
 *   --rate R                   requests a second, evenly spaced; 0 (the default): as many as get answered
 *   --seconds S                how long (default 4)
 *   --header "Name: value"     one further header
 *   --body TEXT                %t becomes CLOCK_MONOTONIC in nanoseconds at the time of sending, %d a counter
 *   --modulo M                 the counter runs from 0 to M-1 (default 1)
 *
 * Waits up to 10 s for the last answers, then prints `RESULT {json}`. With a rate, requests that find no free connection
 * are sent late, so a server that cannot keep up shows in `sent` being below rate times seconds.
 */
#define _GNU_SOURCE
#include "support.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define ANSWER_BYTES 65536
#define LATE_ANSWERS_NS (10 * NS_PER_SECOND)

struct connection {
  int fd;
  uint64_t sent_ns;
  size_t have;
  struct connection *next_free;
  char answer[ANSWER_BYTES];
};

static struct {
  int port, connections;
  double rate, seconds;
  const char *path, *header, *body;
  unsigned long modulo;
} options;

static struct {
  uint64_t sent, answered, failed;
  struct histogram latency;
  char failure[400];
} counters;

static struct connection *free_connections;
static char *request;
static size_t head_bytes; /* of the request, up to the place of Content-Length's number */
static size_t body_room;

/* The longest number is that of nanoseconds, 20 digits. */
static size_t fill_body(char *target) {
  char *to = target;
  for (const char *from = options.body; *from;) {
    const char *mark = strchrnul(from, '%');
    memcpy(to, from, (size_t)(mark - from));
    to += mark - from;
    from = mark;
    if (!*mark) break;
    if (mark[1] == 't')
      to += sprintf(to, "%llu", (unsigned long long)monotonic_ns()), from += 2;
    else if (mark[1] == 'd')
      to += sprintf(to, "%lu", (unsigned long)(counters.sent % options.modulo)), from += 2;
    else
      *to++ = *from++;
  }
  return (size_t)(to - target);
}

static void prepare(void) {
  size_t marks = 0;
  for (const char *at = options.body; (at = strchr(at, '%')) != NULL; at++) marks++;
  body_room = strlen(options.body) + marks * 20 + 1;
  request = malloc(strlen(options.path) + strlen(options.header) + body_room + 512);
  if (request == NULL) fail("out of memory");
  head_bytes = (size_t)sprintf(request,
                               "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n%s%s"
                               "Content-Length: ",
                               options.path, options.port, options.header, *options.header ? "\r\n" : "");
}

static void send_request(void) {
  /* A fixed width, blanks in front, lets the body stand at the same place whatever its length. */
  static const size_t length_width = 8;
  struct connection *connection = free_connections;
  free_connections = connection->next_free;
  char *body = request + head_bytes + length_width + 4, number[16];
  size_t length = fill_body(body);
  snprintf(number, sizeof number, "%*zu\r\n\r\n", (int)length_width, length);
  memcpy(request + head_bytes, number, length_width + 4);
  connection->sent_ns = monotonic_ns();
  connection->have = 0;
  counters.sent++;
  if (!write_all(connection->fd, request, head_bytes + length_width + 4 + length))
    fail("the server closed a publisher's connection: %s", strerror(errno));
}

static void release(struct connection *connection) {
  connection->next_free = free_connections;
  free_connections = connection;
}

static void take_answer(struct connection *connection) {
  ssize_t got = read(connection->fd, connection->answer + connection->have, ANSWER_BYTES - 1 - connection->have);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) fail("the server closed a publisher's connection after %llu answers", (unsigned long long)counters.answered);
  connection->have += (size_t)got;
  connection->answer[connection->have] = 0;
  char *end = strstr(connection->answer, "\r\n\r\n");
  if (end == NULL) return;
  char *size = strcasestr(connection->answer, "\r\ncontent-length:");
  if (size == NULL || size > end) fail("an answer without Content-Length: %.300s", connection->answer);
  size_t whole = (size_t)(end - connection->answer) + 4 + strtoul(size + 17, NULL, 10);
  if (whole >= ANSWER_BYTES) fail("an answer of %zu bytes is too large for httpload", whole);
  if (connection->have < whole) return;
  counters.answered++;
  histogram_add(&counters.latency, (monotonic_ns() - connection->sent_ns) / 1000);
  if (connection->answer[9] != '2' && counters.failed++ == 0)
    snprintf(counters.failure, sizeof counters.failure, "%.3s %.300s", connection->answer + 9, end + 4);
  release(connection);
}

static void open_connections(int epoll) {
  struct sockaddr_in target = loopback(0x7f000001, options.port);
  for (int i = 0; i < options.connections; i++) {
    struct connection *connection = calloc(1, sizeof *connection);
    int one = 1;
    if (connection == NULL) fail("out of memory");
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(connection->fd, (void *)&target, sizeof target) < 0) fail("connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
    release(connection);
  }
}

/*
 * A timer of its own: epoll's milliseconds are too coarse to space a thousand requests a second evenly. It has to be read at
 * every tick: the kernel sets a periodic timer again only then (timerfd_create(2), `it_interval`).
 */
static int start_timer(int epoll) {
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  double period = options.rate > 0 ? 1e9 / options.rate : 1e8;
  struct timespec every = {.tv_sec = (time_t)(period / 1e9), .tv_nsec = (long)((uint64_t)period % NS_PER_SECOND)};
  struct itimerspec times = {.it_interval = every, .it_value = every};
  timerfd_settime(timer, 0, &times, NULL);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
  return timer;
}

static void take_tick(int timer) {
  uint64_t ticks;
  if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("the timer cannot be read");
}

static void print_failure(void) {
  for (const unsigned char *at = (const unsigned char *)counters.failure; *at; at++) {
    if (*at == '"' || *at == '\\') putchar('\\');
    putchar(*at < 32 ? ' ' : *at);
  }
}

int main(int count, char **values) {
  options.port = atoi(required_option(count, values, "port"));
  options.path = option(count, values, "path", "/");
  options.connections = atoi(option(count, values, "connections", "64"));
  options.rate = atof(option(count, values, "rate", "0"));
  options.seconds = atof(option(count, values, "seconds", "4"));
  options.header = option(count, values, "header", "");
  options.body = option(count, values, "body", "");
  options.modulo = strtoul(option(count, values, "modulo", "1"), NULL, 10);
  if (options.modulo == 0) options.modulo = 1;
  raise_descriptor_limit();
  prepare();
  int epoll = epoll_create1(0);
  open_connections(epoll);
  int timer = start_timer(epoll);
  double cpu_before = cpu_seconds();
  uint64_t begun = monotonic_ns(), end = begun + (uint64_t)(options.seconds * 1e9), now = begun;
  uint64_t due_total = options.rate > 0 ? (uint64_t)(options.rate * options.seconds + 0.5) : UINT64_MAX;
  for (;;) {
    struct epoll_event events[128];
    if (now < end) {
      double due = options.rate > 0 ? options.rate * (double)(now - begun) / 1e9 + 1 : 1e18;
      while (free_connections != NULL && (double)counters.sent + 1 <= due && counters.sent < due_total) send_request();
    } else if (counters.answered == counters.sent || now > end + LATE_ANSWERS_NS) {
      break;
    }
    int ready = epoll_wait(epoll, events, 128, 100);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr == NULL) take_tick(timer);
      else take_answer(events[i].data.ptr);
    }
    now = monotonic_ns();
  }
  printf("RESULT {\"sent\":%llu,\"ok\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"cpuSeconds\":%.3f,\"p50Us\":%.0f,"
         "\"p99Us\":%.0f,\"failure\":\"",
         (unsigned long long)counters.sent, (unsigned long long)(counters.answered - counters.failed),
         (unsigned long long)(counters.failed + counters.sent - counters.answered), (double)(now - begun) / 1e9,
         cpu_seconds() - cpu_before, histogram_quantile(&counters.latency, 0.5),
         histogram_quantile(&counters.latency, 0.99));
  print_failure();
  printf("\"}\n");
  return 0;
}
