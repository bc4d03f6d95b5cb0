/*
 * Reads an HTTP/1.1 response as it comes: head, then the body in parts, chunked, of a known length or until the end.
 * The includer defines `head_taken` and `take_body`. Include it after clients.h; `struct response` is in response.h.
 */
#ifndef LONGWIRE_BENCH_HTTP_H
#define LONGWIRE_BENCH_HTTP_H

#include "clients.h"

#define HEAD_BYTES 8192

/* The head is whole and read. */
static void head_taken(struct connection *connection, const uint8_t *head, size_t length);
/* The next part of the body. */
static void take_body(struct connection *connection, const uint8_t *bytes, size_t length);

static inline void read_head(struct response *response, const uint8_t *bytes, size_t length) {
  char head[HEAD_BYTES];
  if (length >= sizeof head) fail("a response head of %zu bytes", length);
  memcpy(head, bytes, length);
  head[length] = 0;
  if (strncmp(head, "HTTP/1.1 ", 9) != 0) fail("no HTTP/1.1 response: %.200s", head);
  response->status = atoi(head + 9);
  const char *size = strcasestr(head, "\r\ncontent-length:");
  response->gzip = strcasestr(head, "\r\ncontent-encoding: gzip") != NULL;
  response->left = UINT64_MAX;
  response->part = UNTIL_CLOSE;
  if (strcasestr(head, "\r\ntransfer-encoding: chunked") != NULL) {
    response->part = CHUNK_HEAD;
  } else if (size != NULL) {
    response->left = strtoull(size + 17, NULL, 10);
    response->part = response->left > 0 ? SIZED : DONE;
  }
}

/* A line of the chunked form: the size of a chunk, the end behind one, a trailer. Returns its bytes, 0 while incomplete. */
static inline size_t take_chunk_line(struct response *response, const uint8_t *bytes, size_t length) {
  const uint8_t *end = memmem(bytes, length, "\r\n", 2);
  if (end == NULL) return 0;
  if (response->part == CHUNK_HEAD) {
    char *after;
    response->left = strtoull((const char *)bytes, &after, 16);
    if ((const uint8_t *)after == bytes) fail("a chunk without a size: %.*s", (int)(end - bytes), bytes);
    response->part = response->left > 0 ? CHUNK : TRAILER;
  } else if (response->part == CHUNK_END) {
    if (end != bytes) fail("a chunk is longer than it said");
    response->part = CHUNK_HEAD;
  } else if (end == bytes) {
    response->part = DONE;
  }
  return (size_t)(end - bytes) + 2;
}

/* Takes what it can until the response is DONE; returns the bytes taken. */
static inline size_t take_response(struct connection *connection, struct response *response, const uint8_t *bytes,
                                   size_t length) {
  size_t taken = 0;
  while (taken < length && response->part != DONE) {
    const uint8_t *at = bytes + taken;
    size_t left = length - taken, step;
    if (response->part == HEAD) {
      const uint8_t *end = memmem(at, left, "\r\n\r\n", 4);
      if (end == NULL) break;
      step = (size_t)(end - at) + 4;
      read_head(response, at, step);
      head_taken(connection, at, left);
    } else if (response->part == SIZED || response->part == CHUNK || response->part == UNTIL_CLOSE) {
      step = left < response->left ? left : response->left;
      take_body(connection, at, step);
      response->left -= step;
      if (response->left == 0) response->part = response->part == SIZED ? DONE : CHUNK_END;
    } else {
      step = take_chunk_line(response, at, left);
      if (step == 0) break;
    }
    taken += step;
  }
  return taken;
}

#endif
