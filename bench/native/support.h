/*
 * What the programs of the bench share: the clock, the latency histogram, CPU time of the process itself, options.
 * Linux only (epoll, timerfd, addresses of the whole 127.0.0.0/8 network).
 */
#ifndef LONGWIRE_BENCH_SUPPORT_H
#define LONGWIRE_BENCH_SUPPORT_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000ull

static inline uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static inline double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static inline void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

/* Options are `--name value` pairs. */
static inline const char *option(int count, char **values, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < count; i += 2)
    if (strncmp(values[i], "--", 2) == 0 && strcmp(values[i] + 2, name) == 0) return values[i + 1];
  return otherwise;
}

static inline const char *required_option(int count, char **values, const char *name) {
  const char *value = option(count, values, name, NULL);
  if (value == NULL) fail("missing --%s", name);
  return value;
}

/* Latencies in microseconds: 64 steps for each power of two, so that a quantile is within 1.6 %. */
#define HISTOGRAM_STEPS 64
struct histogram {
  uint64_t counts[64 * HISTOGRAM_STEPS];
  uint64_t total;
};

static inline void histogram_add(struct histogram *histogram, uint64_t microseconds) {
  if (microseconds < 1) microseconds = 1;
  int power = 63 - __builtin_clzll(microseconds);
  uint64_t step = power >= 6 ? microseconds >> (power - 6) : microseconds << (6 - power);
  histogram->counts[power * HISTOGRAM_STEPS + (int)(step % HISTOGRAM_STEPS)]++;
  histogram->total++;
}

static inline double histogram_quantile(const struct histogram *histogram, double share) {
  uint64_t wanted = (uint64_t)((double)histogram->total * share), seen = 0;
  for (int i = 0; i < 64 * HISTOGRAM_STEPS; i++) {
    seen += histogram->counts[i];
    if (histogram->counts[i] == 0 || seen < wanted) continue;
    int power = i / HISTOGRAM_STEPS;
    double mantissa = (double)(HISTOGRAM_STEPS + i % HISTOGRAM_STEPS) / HISTOGRAM_STEPS;
    return mantissa * (double)(1ull << power);
  }
  return 0;
}

static inline struct sockaddr_in loopback(uint32_t host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(host);
  return address;
}

/* Writes everything to a socket that may be non-blocking; false when the other side is gone. */
static inline int write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);
    if (written < 0 && errno == EAGAIN) {
      struct pollfd writable = {.fd = fd, .events = POLLOUT};
      poll(&writable, 1, 1000);
      continue;
    }
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return 0;
    bytes += written;
    length -= (size_t)written;
  }
  return 1;
}

#endif
